/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/options.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>

#include "cli/activation.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "cli/suggest.h"
#include "cli/view.h"

static gboolean
has_option (const GOptionEntry *entries,
            const char         *name)
{
  for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++)
    if (strcmp (entry->long_name, name) == 0)
      return TRUE;
  return FALSE;
}

/* If no option is similar to the name, says where there is one. */
static char *
locate_option (const char         *command,
               const GOptionEntry *entries,
               const char         *name)
{
  if ((strcmp (name, "no-wait") == 0 || strcmp (name, "no-watch") == 0) && has_option (entries, name + strlen ("no-")))
    return g_strdup_printf (_("; did you mean '--%s=no'?"), name + strlen ("no-"));
  if (strcmp (command, "connect") == 0 || strcmp (name, "remote-uri") == 0 ||
      !g_strv_contains (settings_keys (), name))
    return g_strdup ("");
  if (strcmp (command, "up") == 0)
    return g_strdup (_("; in the config file it is a key of a tunnel, or of [defaults] for all"));
  return g_strdup (_("; 'tcp-tunnel connect' has such an option"));
}

/* The message names the option, but not the value behind =, which may be a secret token. */
static void
set_unknown_option (const char          *command,
                    const GOptionEntry  *entries,
                    const char          *arg,
                    GError             **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *option = g_strndup (arg, strcspn (arg, "="));
  g_autofree char *hint = NULL;

  for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++)
    g_ptr_array_add (names, (char *) entry->long_name);
  g_ptr_array_add (names, (char *) "help");
  g_ptr_array_add (names, NULL);
  hint = suggest (option + strspn (option, "-"), (const char *const *) names->pdata, "--");
  if (*hint == '\0')
    {
      g_free (hint);
      hint = locate_option (command, entries, option + strspn (option, "-"));
    }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION, _("there is no option '%s'%s"),
               option, hint);
}

/* Text processors replace two hyphens with a dash. */
static gboolean
begins_with_dash (const char *arg)
{
  gunichar c = g_utf8_get_char_validated (arg, -1);

  return (c >= 0x2010 && c <= 0x2015) || c == 0x2212;
}

static void
set_dash (const char  *arg,
          GError     **error)
{
  g_autofree char *option = g_strndup (arg, strcspn (arg, "="));

  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
               _("'%s' begins with the dash U+%04X; an option begins with two hyphens, --"), option,
               g_utf8_get_char (arg));
}

/* The parser has left what it does not recognize. Arguments behind -- are not options. */
static gboolean
check_rest (const char          *command,
            const GOptionEntry  *entries,
            char               **args,
            GError             **error)
{
  for (char **arg = args; *arg != NULL; arg++)
    {
      if (strcmp (*arg, "--") == 0)
        {
          g_free (*arg);
          memmove (arg, arg + 1, g_strv_length (arg) * sizeof *arg);
          return TRUE;
        }
      if (**arg == '-')
        {
          set_unknown_option (command, entries, *arg, error);
          return FALSE;
        }
      if (begins_with_dash (*arg))
        {
          set_dash (*arg, error);
          return FALSE;
        }
    }
  return TRUE;
}

static GOptionContext *
make_context (const char         *command,
              const char         *arguments,
              const char         *summary,
              const char         *description,
              const GOptionEntry *entries)
{
  GOptionContext *context = g_option_context_new (arguments);
  g_autofree char *name = g_strdup_printf ("tcp-tunnel %s", command);

  g_set_prgname (name);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  return context;
}

static gboolean
parse (GOptionContext      *context,
       const char          *command,
       const char          *arguments,
       const GOptionEntry  *entries,
       char              ***args,
       GError             **error)
{
  if (!g_option_context_parse_strv (context, args, error) || !check_rest (command, entries, *args, error))
    return FALSE;
  if (arguments == NULL && *args != NULL && (*args)[0] != NULL && (*args)[1] != NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, _("'%s' is one argument too many; this command takes only options"),
                   (*args)[1]);
      return FALSE;
    }
  return TRUE;
}

/**
 * options_parse:
 * @arguments: (nullable): further arguments, as in the help
 * @args: the arguments after the name of the program; on return, those that
 *   are not options, the command first
 */
gboolean
options_parse (const char          *command,
               const char          *arguments,
               const char          *summary,
               const char          *description,
               const GOptionEntry  *entries,
               char              ***args,
               GError             **error)
{
  g_autoptr (GOptionContext) context = make_context (command, arguments, summary, description, entries);

  return parse (context, command, arguments, entries, args, error);
}

/* GLib's help lists all options of a group without sections, here with --help as the first. */
static void
print_sections (GOptionContext       *context,
                const OptionsSection *sections)
{
  g_autofree char *help = g_option_context_get_help (context, TRUE, NULL);
  const char *rest = strstr (help, "\n  -h, --help");
  const char *title = rest;

  while (title[-1] != '\n')
    title--;
  view_print (stdout, "%.*s%s", (int) (title - help), help, _("Help Options:"));
  for (; sections->title != NULL; sections++)
    {
      g_autofree char *option = g_strdup_printf ("\n  --%s", sections->first);
      const char *begin = strstr (rest, option);

      view_print (stdout, "%.*s\n\n%s", (int) (begin - rest), rest, _(sections->title));
      rest = begin;
    }
  view_print (stdout, "%s", rest);
}

/**
 * options_parse_sections:
 * @sections: the sections of the help, in the order of @entries, the last one without a title
 *
 * The same for a command with many options and no arguments.
 */
gboolean
options_parse_sections (const char            *command,
                        const char            *summary,
                        const char            *description,
                        const GOptionEntry    *entries,
                        const OptionsSection  *sections,
                        char                ***args,
                        GError               **error)
{
  gboolean wants_help = FALSE;
  const GOptionEntry help[] = {
    { "help", 'h', 0, G_OPTION_ARG_NONE, &wants_help, N_("Show help options"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = make_context (command, NULL, summary, description, help);

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!parse (context, command, NULL, entries, args, error))
    return FALSE;
  if (wants_help)
    {
      print_sections (context, sections);
      exit (EXIT_SUCCESS);
    }
  return TRUE;
}

static gboolean bad_value (GError    **error,
                           const char *format,
                           ...) G_GNUC_PRINTF (2, 3);

static gboolean
bad_value (GError    **error,
           const char *format,
           ...)
{
  va_list args;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, args));
  va_end (args);
  return FALSE;
}

/* Whether it must listen on a socket of the service manager. */
gboolean
options_is_activated (const char *listen)
{
  return listen != NULL && (strcmp (listen, OPTIONS_ACTIVATED) == 0 || g_str_has_prefix (listen, OPTIONS_ACTIVATED ":"));
}

/* Returns the name of the socket behind the colon; NULL if there is none. */
const char *
options_get_activated (const char *listen)
{
  const char *rest = listen + strlen (OPTIONS_ACTIVATED);

  return *rest == ':' ? rest + 1 : NULL;
}

static gboolean
take_socket (const char  *option,
             const char  *name,
             GObject     *object,
             GError     **error)
{
  g_autoptr (GSocket) socket = activation_take (name, error);

  if (socket == NULL)
    {
      g_prefix_error (error, "%s: ", option);
      return FALSE;
    }
  g_object_set (object, "socket", socket, NULL);
  return TRUE;
}

static gboolean
bad_listen (GError     **error,
            const char  *option,
            const char  *text)
{
  return bad_value (error, _("%s must be HOST:PORT, [IPV6]:PORT, PORT (0 to 65535), unix:PATH or systemd:NAME, not '%s'"),
                    option, text);
}

/**
 * options_read_listen:
 * @option: the name of the option for messages, here and below
 * @text: (nullable): HOST:PORT, [IPV6]:PORT, PORT, unix:PATH, systemd or systemd:NAME
 * @object: a tunnel, a forward or a gateway, whose hostname and port, socket path or socket are set
 */
gboolean
options_read_listen (const char  *option,
                     const char  *text,
                     GObject     *object,
                     GError     **error)
{
  const char *colon, *port;
  g_autofree char *host = NULL;
  guint64 number;

  if (text == NULL)
    return TRUE;

  if (g_str_has_prefix (text, "unix:"))
    {
      g_object_set (object, "socket-path", text + strlen ("unix:"), NULL);
      return TRUE;
    }

  if (options_is_activated (text))
    return take_socket (option, options_get_activated (text), object, error);

  colon = strrchr (text, ':');
  port = colon != NULL ? colon + 1 : text;
  if (colon != NULL)
    host = g_strndup (text, colon - text);
  if (!g_ascii_string_to_unsigned (port, 10, 0, G_MAXUINT16, &number, NULL))
    return bad_listen (error, option, text);

  if (host != NULL && g_str_has_prefix (host, "[") && g_str_has_suffix (host, "]"))
    {
      g_autofree char *inner = g_strndup (host + 1, strlen (host) - 2);

      g_free (host);
      host = g_steal_pointer (&inner);
    }
  else if (host != NULL && strpbrk (host, ":[]") != NULL)
    {
      return bad_listen (error, option, text);
    }
  if (host != NULL && *host == '\0')
    return bad_listen (error, option, text);

  if (host != NULL)
    g_object_set (object, "hostname", host, NULL);
  g_object_set (object, "port", (guint) number, NULL);
  return TRUE;
}

/**
 * options_read_number:
 * @text: (nullable): the value; without one @value is unchanged
 */
gboolean
options_read_number (const char  *option,
                     const char  *text,
                     guint        min,
                     guint        max,
                     guint       *value,
                     GError     **error)
{
  guint64 number;

  if (text == NULL)
    return TRUE;
  if (g_ascii_string_to_unsigned (text, 10, min, max, &number, NULL))
    {
      *value = number;
      return TRUE;
    }
  return bad_value (error, _("%s must be a whole number from %u to %u, not '%s'"), option, min, max, text);
}

/**
 * options_read_uint:
 * @text: (nullable): the value; without one nothing happens
 * @unit: the number of units of the property in one unit of the option
 *
 * The range is that of the property.
 */
gboolean
options_read_uint (const char  *option,
                   const char  *text,
                   guint        unit,
                   GObject     *object,
                   const char  *property,
                   GError     **error)
{
  GParamSpecUInt *spec =
      G_PARAM_SPEC_UINT (g_object_class_find_property (G_OBJECT_GET_CLASS (object), property));
  guint min = (spec->minimum + unit - 1) / unit;
  guint max = spec->maximum / unit;
  guint value = 0;

  if (text == NULL)
    return TRUE;
  if (!options_read_number (option, text, min, max, &value, error))
    return FALSE;
  g_object_set (object, property, value * unit, NULL);
  return TRUE;
}

/**
 * options_read_memory:
 * @text: (nullable): a number of MiB, at least @least; without one nothing happens
 * @property: a 64-bit number of bytes
 */
gboolean
options_read_memory (const char  *option,
                     const char  *text,
                     guint        least,
                     GObject     *object,
                     const char  *property,
                     GError     **error)
{
  guint value = 0;

  if (text == NULL)
    return TRUE;
  /* Up to 16 TiB. */
  if (!options_read_number (option, text, least, 1 << 24, &value, error))
    return FALSE;
  g_object_set (object, property, (guint64) value << 20, NULL);
  return TRUE;
}

/* A whole number, optionally followed by K, M or G. */
static gboolean
parse_rate (const char *text,
            guint64     least,
            guint64    *value)
{
  static const char units[] = "KMG";
  gsize n_digits = strspn (text, "0123456789");
  g_autofree char *digits = g_strndup (text, n_digits);
  const char *unit = text[n_digits] != '\0' ? strchr (units, g_ascii_toupper (text[n_digits])) : NULL;
  guint64 factor = 1;

  if (text[n_digits] != '\0' && (unit == NULL || text[n_digits + 1] != '\0'))
    return FALSE;
  for (const char *u = units; unit != NULL && u <= unit; u++)
    factor *= 1000;
  /* Up to the maximum of the property. */
  if (!g_ascii_string_to_unsigned (digits, 10, 0, G_GINT64_CONSTANT (1000000000000) / factor, value, NULL))
    return FALSE;
  *value *= factor;
  return *value >= least;
}

/**
 * options_read_rate:
 * @text: (nullable): bytes per second, at least @least, such as `500K`, `10M` or `1G`; without one nothing happens
 * @property: a 64-bit number of bytes per second
 */
gboolean
options_read_rate (const char  *option,
                   const char  *text,
                   guint64      least,
                   GObject     *object,
                   const char  *property,
                   GError     **error)
{
  guint64 value;

  if (text == NULL)
    return TRUE;
  if (parse_rate (text, least, &value))
    {
      g_object_set (object, property, value, NULL);
      return TRUE;
    }
  return bad_value (error, _("%s must be a number of bytes a second such as 500K, 10M or 1G, from %ju to 1000G, not '%s'"), option,
                    (uintmax_t) least, text);
}

/**
 * options_read_attempts:
 * @text: (nullable): a number or `unlimited`; without one @value is unchanged
 * @value: negative for no limit
 */
gboolean
options_read_attempts (const char  *option,
                       const char  *text,
                       int         *value,
                       GError     **error)
{
  guint64 number;

  if (text == NULL)
    return TRUE;
  if (strcmp (text, "unlimited") == 0)
    *value = TCP_TUNNEL_UNLIMITED_ATTEMPTS;
  else if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &number, NULL))
    *value = number;
  else
    return bad_value (error, _("%s must be a whole number from 0 to 2147483647, or unlimited, not '%s'"), option, text);
  return TRUE;
}

/**
 * options_read_boolean:
 * @text: (nullable): `yes` or `no`; without one @value is unchanged
 */
gboolean
options_read_boolean (const char  *option,
                      const char  *text,
                      gboolean    *value,
                      GError     **error)
{
  if (text == NULL)
    return TRUE;
  if (strcmp (text, "yes") != 0 && strcmp (text, "no") != 0)
    return bad_value (error, _("%s must be yes or no, not '%s'"), option, text);
  *value = strcmp (text, "yes") == 0;
  return TRUE;
}

/* A whole number of seconds, or with a unit; @value is in milliseconds. */
static gboolean
parse_duration (const char *text,
                guint       max,
                guint      *value)
{
  static const struct
  {
    const char *name;
    guint milliseconds;
  } units[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60 * 1000 }, { "h", 60 * 60 * 1000 } };
  gsize n_digits = strspn (text, "0123456789");
  g_autofree char *digits = g_strndup (text, n_digits);
  const char *name = text + n_digits;
  guint unit = *name == '\0' ? 1000 : 0;
  guint64 number;

  /* "10 s" is accepted as well as "10s". */
  name += *name == ' ';
  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (strcmp (name, units[i].name) == 0)
      unit = units[i].milliseconds;
  if (unit == 0 || !g_ascii_string_to_unsigned (digits, 10, 0, max / unit, &number, NULL))
    return FALSE;
  *value = number * unit;
  return TRUE;
}

/**
 * options_read_duration:
 * @text: (nullable): the value, such as `500ms`, `10s`, `2min` or `1h`, or a number of seconds; without
 *   one @value is unchanged
 * @value: in milliseconds
 */
gboolean
options_read_duration (const char  *option,
                       const char  *text,
                       guint        max,
                       guint       *value,
                       GError     **error)
{
  if (text == NULL || parse_duration (text, max, value))
    return TRUE;
  return bad_value (error, _("%s must be a duration such as 500ms, 10s, 2min or 1h, of at most %u h (a number alone is in "
                             "seconds), not '%s'"),
                    option, max / (60 * 60 * 1000), text);
}

/**
 * options_read_duration_property:
 *
 * The same for a property in milliseconds.
 */
gboolean
options_read_duration_property (const char  *option,
                                const char  *text,
                                GObject     *object,
                                const char  *property,
                                GError     **error)
{
  GParamSpecUInt *spec =
      G_PARAM_SPEC_UINT (g_object_class_find_property (G_OBJECT_GET_CLASS (object), property));
  guint value = 0;

  if (text == NULL)
    return TRUE;
  if (!options_read_duration (option, text, spec->maximum, &value, error))
    return FALSE;
  g_object_set (object, property, value, NULL);
  return TRUE;
}

/**
 * options_read_enum:
 * @text: (nullable): a nick of @type; without one @value is unchanged
 */
gboolean
options_read_enum (const char  *option,
                   const char  *text,
                   GType        type,
                   int         *value,
                   GError     **error)
{
  g_autoptr (GEnumClass) values = g_type_class_ref (type);
  g_autoptr (GPtrArray) nicks = g_ptr_array_new ();
  g_autofree char *list = NULL;
  g_autofree char *hint = NULL;
  GEnumValue *found;

  if (text == NULL)
    return TRUE;
  found = g_enum_get_value_by_nick (values, text);
  if (found != NULL)
    {
      *value = found->value;
      return TRUE;
    }
  for (guint i = 0; i < values->n_values; i++)
    g_ptr_array_add (nicks, (char *) values->values[i].value_nick);
  g_ptr_array_add (nicks, NULL);
  list = g_strjoinv (", ", (char **) nicks->pdata);
  hint = suggest (text, (const char *const *) nicks->pdata, "");
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
               _("%s must be one of %s, not '%s'%s"), option, list, text, hint);
  return FALSE;
}

/**
 * options_say:
 * @command: the command that prints it
 * @name: (nullable): the tunnel that it is about, if there are several
 * @level: its priority in the journal
 *
 * Prints a message.
 */
void
options_say (const char        *command,
             const char        *name,
             TcpTunnelLogLevel  level,
             const char        *message)
{
  view_print (stderr, "%s%stcp-tunnel %s:%s %s%s%s\n", log_get_prefix (level), view_style (stderr, VIEW_RED), command,
              view_style (stderr, VIEW_PLAIN), name != NULL ? name : "", name != NULL ? ": " : "", message);
}

/* Refers to the help, after an error was printed. */
void
options_hint (const char *command)
{
  view_print (stderr, _("Try 'tcp-tunnel %s --help'.\n"), command);
}

int
options_usage (const char   *command,
               const GError *error)
{
  options_say (command, NULL, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
  options_hint (command);
  return EXIT_USAGE;
}

/**
 * options_failure:
 *
 * Prints the reason for which a tunnel or a gateway ended, and returns the exit status for it.
 */
int
options_failure (const char   *command,
                 const GError *error)
{
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT))
    return options_usage (command, error);
  options_say (command, NULL, TCP_TUNNEL_LOG_LEVEL_ERROR, error->message);
  return EXIT_FAILED;
}

/* Makes an error of the result of view_print (). */
GError *
options_stdout_error (int code)
{
  return g_error_new (G_IO_ERROR, g_io_error_from_errno (code), _("cannot write to stdout: %s"),
                      g_strerror (code));
}

typedef struct
{
  GSourceFunc func;
  gpointer data;
} SignalHandler;

static const int end_signals[] = { SIGINT, SIGTERM, SIGHUP };

/* nohup(1) ignores SIGHUP, and a shell without job control ignores SIGINT for a command that it starts with &. */
static gboolean
is_ignored (int number)
{
  struct sigaction action;

  return sigaction (number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Closing in order may take a moment; a further signal ends the process at once, by the default of the system. */
static gboolean
on_end_signal (gpointer data)
{
  SignalHandler *handler = data;

  if (handler->func (handler->data) == G_SOURCE_CONTINUE)
    return G_SOURCE_CONTINUE;
  for (guint i = 0; i < G_N_ELEMENTS (end_signals); i++)
    if (!is_ignored (end_signals[i]))
      signal (end_signals[i], SIG_DFL);
  return G_SOURCE_REMOVE;
}

/**
 * options_on_signal:
 *
 * Calls @func in the main loop at the first SIGINT, SIGTERM or SIGHUP, and at further ones as long as it returns
 * %G_SOURCE_CONTINUE. If @hang_up is not %NULL it is called at each SIGHUP instead. A signal that was ignored when the
 * command was started stays ignored.
 */
void
options_on_signal (GSourceFunc func,
                   GSourceFunc hang_up,
                   gpointer    data)
{
  SignalHandler handler = { func, data };

  for (guint i = 0; i < G_N_ELEMENTS (end_signals); i++)
    {
      if (is_ignored (end_signals[i]))
        continue;
      if (end_signals[i] == SIGHUP && hang_up != NULL)
        g_unix_signal_add (SIGHUP, hang_up, data);
      else
        g_unix_signal_add_full (G_PRIORITY_DEFAULT, end_signals[i], on_end_signal,
                                g_memdup2 (&handler, sizeof handler), g_free);
    }
}
