# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for fish. The commands and options are read from the command's own help, in English.

# The tunnels in the file that --config names, or else in the default one.
function __tcp_tunnel_names
    set -l words (commandline -opc)
    set -l directory $HOME/.config
    set -q XDG_CONFIG_HOME; and set directory $XDG_CONFIG_HOME
    set -l file $directory/tcp-tunnel/tunnels.conf
    test -e $file; or set file /etc/xdg/tcp-tunnel/tunnels.conf
    if set -l index (contains -i -- --config $words)
        set file $words[(math $index + 1)]
    else if set -l given (string replace -f -- --config= '' $words)
        set file $given[-1]
    end
    set file (string replace -r '^~/' "$HOME/" -- $file)
    test -r $file
    and string replace -rf '^\[(.*)\]$' '$1' <$file | string match -v defaults
end

function __tcp_tunnel_options -a command
    for line in (env LANGUAGE=en tcp-tunnel $command --help)
        string match -rq '^  --(?<name>[a-z-]+)(?:=(?<value>[^ ]+|.K: V.))? +(?<text>.*)$' -- $line
        or continue
        set -l option -c tcp-tunnel -n "__fish_seen_subcommand_from $command" -l $name -d $text
        switch $name/$value
            case 'mode/*'
                complete $option -x -a 'auto singleton parallel multiplexed'
            case 'resumption/*'
                complete $option -x -a 'auto required off'
            case 'proxy-protocol/*'
                complete $option -x -a 'none v2'
            case 'wait/*' 'watch/*'
                complete $option -x -a 'yes no'
            case 'max-reconnect-attempts/*'
                complete $option -x -a unlimited
            case 'log-level/*'
                complete $option -x -a 'none error warn info debug'
            case '*/CMD'
                complete $option -x -a '(__fish_complete_command)'
            case '*/FILE'
                complete $option -r -F
            case '*/'
                complete $option
            case '*'
                complete $option -x
        end
    end
end

complete -c tcp-tunnel -f
complete -c tcp-tunnel -s h -l help -d 'Show the help'
complete -c tcp-tunnel -n __fish_use_subcommand -l version -d 'Show the version'
for command in (env LANGUAGE=en tcp-tunnel --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\).*/\1/p' | uniq)
    complete -c tcp-tunnel -n __fish_use_subcommand -a $command
    __tcp_tunnel_options $command
end
complete -c tcp-tunnel -n '__fish_seen_subcommand_from connect up check' -a '(__tcp_tunnel_names)'
