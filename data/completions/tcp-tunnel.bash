# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for bash. The commands and options are read from the command's own help, in English.

_tcp_tunnel_help ()
{
  LANGUAGE=en tcp-tunnel "$@" --help 2> /dev/null
}

# The tunnels in the file that --config names, or else in the default one.
_tcp_tunnel_names ()
{
  local i file=${XDG_CONFIG_HOME:-$HOME/.config}/tcp-tunnel/tunnels.conf

  [[ -e $file ]] || file=/etc/xdg/tcp-tunnel/tunnels.conf
  for ((i = 2; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == --config ]] || continue
    [[ ${COMP_WORDS[++i]} == = ]] && ((i++))
    file=${COMP_WORDS[i]}
  done
  sed -n '/^\[defaults\]/d; s/^\[\(.*\)\]$/\1/p' "${file/#\~\//$HOME/}" 2> /dev/null
}

_tcp_tunnel ()
{
  local command=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
  local value values=''

  # To bash, --mode=singleton is three words.
  if [[ $word == = ]]; then
    word=''
  elif [[ $option == = ]]; then
    option=${COMP_WORDS[COMP_CWORD - 2]}
  fi

  COMPREPLY=()
  value=$(_tcp_tunnel_help "$command" | sed -n "s/^  $option=\([^ ]*\).*/\1/p")
  if ((COMP_CWORD == 1)); then
    values="$(_tcp_tunnel_help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\).*/\1/p' | uniq) --help --version"
  elif [[ $value == FILE ]]; then
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  elif [[ $value == CMD ]]; then
    mapfile -t COMPREPLY < <(compgen -c -- "$word")
    return
  elif [[ -n $value ]]; then
    case $option in
      --mode) values='auto singleton parallel multiplexed' ;;
      --resumption) values='auto required off' ;;
      --proxy-protocol) values='none v2' ;;
      --wait | --watch) values='yes no' ;;
      --max-reconnect-attempts) values='unlimited' ;;
      --log-level) values='none error warn info debug' ;;
    esac
  elif [[ $word == -* ]]; then
    values=$(_tcp_tunnel_help "$command" | sed -n 's/^  \(-., \)\?\(--[a-z-]*\).*/\2/p')
  elif [[ $command == connect || $command == up || $command == check ]]; then
    values=$(_tcp_tunnel_names)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
}

complete -F _tcp_tunnel tcp-tunnel
