/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finds out why a tunnel does not work. The steps below HTTP are tried one by one with GIO; a real tunnel, which is
 * started meanwhile, checks the rest, and provides the messages about failures. */

#include <glib/gi18n.h>
#include <string.h>

#include "cli/check-probe.h"
#include "cli/check-report.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/log.h"
#include "cli/options.h"
#include "cli/target.h"
#include "cli/token.h"
#include "cli/token-command.h"

enum
{
  DEFAULT_TIMEOUT = 10 * 1000,  /* ms */
  MAX_TIMEOUT = 60 * 60 * 1000, /* ms */
  PINGS = 5,
  PING_INTERVAL = 100, /* ms */
  LOOK_INTERVAL = 5,   /* ms between checks whether a ping was answered */
};

static struct
{
  char *timeout;
  gboolean json;
} options;

static const GOptionEntry entries[] = {
  TARGET_TOKEN_OPTIONS,
  TARGET_RESUMPTION_OPTION,
  TARGET_GATEWAY_OPTIONS,
  { "timeout", 0, 0, G_OPTION_ARG_STRING, &options.timeout,
    N_("How long a step may take (default 10s)"), "TIME" },
  TARGET_CONFIG_OPTION,
  { "log-level", 0, 0, G_OPTION_ARG_STRING, TARGET_VALUE (LOG_LEVEL),
    N_("none (default), error, warn, info or debug"), "LEVEL" },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    N_("Print one object in JSON"), NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    N_("Each step is a line with a check mark, or with what to do:\n"
    "\n"
    "  URL         whether it is one\n"
    "  Name        the addresses of the host\n"
    "  Proxy       which one there is, where it is configured, and its answer\n"
    "  TCP         whether each address can be connected to\n"
    "  TLS         version, certificates and their dates, and whether they are\n"
    "              trusted\n"
    "  HTTP        what answers the request for a WebSocket\n"
    "  Token       whether it is accepted\n"
    "  Protocol    whether TCP connections outlive a break of the WebSocket\n"
    "  Round trip  how long pings take\n"
    "\n"
    "The options are those of 'tcp-tunnel connect', and so is a NAME. The tunnel is\n"
    "multiplexed whatever its mode is, so that the gateway does not connect to its\n"
    "target, and its session ends with the check.\n"
    "\n"
    "Exit status:\n"
    "  0  every step succeeded, or does not apply\n"
    "  1  a step failed\n"
    "  2  wrong usage\n");

typedef struct
{
  CheckReport *report;
  Probe *probe;
  TcpTunnel *tunnel;
  GCancellable *cancellable; /* for operations of the tunnel */
  guint timeout;
  int resumption;
  char *url; /* without secrets */
  char *token;
  GError *token_error; /* why there is none */
  gboolean starting;
  gboolean started; /* the start has ended */
  GError *error;    /* why the tunnel is not started */
  gboolean stopped; /* by a signal */
} Check;

static void
check_clear (Check *self)
{
  g_clear_pointer (&self->probe, probe_free);
  g_clear_pointer (&self->report, check_report_free);
  g_clear_object (&self->tunnel);
  g_clear_object (&self->cancellable);
  g_clear_error (&self->token_error);
  g_clear_error (&self->error);
  g_free (self->token);
  g_free (self->url);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Check, check_clear)

static gboolean
on_stop (gpointer data)
{
  Check *self = data;

  self->stopped = TRUE;
  g_cancellable_cancel (self->cancellable);
  if (self->probe != NULL)
    probe_stop (self->probe);
  return G_SOURCE_REMOVE;
}

/* The URL */

/* The tunnel checks the URL at its start. In singleton mode it does not connect then. */
static gboolean
try_start (TcpTunnel  *tunnel,
           GError    **error)
{
  g_autoptr (GError) local = NULL;

  g_object_set (tunnel, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, "mode", TCP_TUNNEL_MODE_SINGLETON, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &local);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  if (!g_error_matches (local, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
try_url (const char  *url,
         GError     **error)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (url, "x");

  return try_start (tunnel, error);
}

/* Tries all settings but the URL, and the address on which it listens. */
static gboolean
try_settings (GError **error)
{
  g_autoptr (TcpTunnel) tunnel = settings_create_tunnel (&target_settings, error);

  if (tunnel == NULL)
    return FALSE;
  g_object_set (tunnel, "remote-uri", "ws://localhost/", "hostname", "127.0.0.1", "port", 0, "socket-path", NULL, NULL);
  if (settings_wants_token (&target_settings))
    tcp_tunnel_set_token (tunnel, "x");
  return try_start (tunnel, error);
}

static GUri *
parse_url (const char *url)
{
  return g_uri_parse (url, G_URI_FLAGS_ENCODED_PATH | G_URI_FLAGS_ENCODED_QUERY | G_URI_FLAGS_ENCODED_FRAGMENT |
                      G_URI_FLAGS_SCHEME_NORMALIZE, NULL);
}

/* @problem: (nullable): why it is not known which URL is meant. The argument is not repeated, since it may be a
 * token. */
static GUri *
check_url (Check        *self,
           const GError *problem)
{
  const char *given = target_settings.values[SETTING_REMOTE_URI];
  Finding *finding = finding_new (STEP_URL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GUri) uri = NULL;

  if (problem != NULL)
    {
      finding_set (finding, FINDING_FAILED, _("there is none"));
      finding->advice = g_strdup (problem->message);
    }
  else if (!try_url (given, &error))
    {
      finding_set (finding, FINDING_FAILED, _("not valid"));
      finding->advice = g_strdup (error->message);
    }
  else
    {
      uri = parse_url (given);
      self->url = format_uri (uri);
      finding_set (finding, FINDING_OK, "%s", self->url);
      if (target_settings.place != NULL)
        finding_add_note (finding, _("of %s"), target_settings.place);
    }
  check_report_add (self->report, finding);
  return g_steal_pointer (&uri);
}

/* The token */

static void
on_token (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Check *self = data;

  self->token = token_command_finish (result, &self->token_error);
}

static void
check_read_token (Check *self)
{
  const Settings *settings = &target_settings;

  if (!settings_wants_token (settings))
    return;
  if (!settings_has (settings, SETTING_TOKEN_COMMAND))
    {
      self->token = settings_read_token (settings, &self->token_error);
      return;
    }
  token_command_async (settings->values[SETTING_TOKEN_COMMAND], settings_source (settings, SETTING_TOKEN_COMMAND),
                       self->cancellable, on_token, self);
  while (self->token == NULL && self->token_error == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static const char *
find_token_source (void)
{
  const Settings *settings = &target_settings;
  const char *source = settings_find_credentials (settings);

  /* Without a token, the certificate was accepted or refused. */
  if (!settings_wants_token (settings) && settings_has (settings, SETTING_NO_TOKEN) &&
      settings_has (settings, SETTING_CLIENT_CERT))
    return settings_source (settings, SETTING_CLIENT_CERT);
  return source != NULL ? source : TOKEN_VARIABLE;
}

/* @refusal: (nullable): the gateway's */
static void
check_token (Check        *self,
             const GError *refusal)
{
  Finding *finding = finding_new (STEP_TOKEN);

  json_object_set_string_member (finding->values, "source", find_token_source ());
  if (self->token_error != NULL)
    {
      finding_set (finding, FINDING_FAILED, _("there is none"));
      finding->advice = g_strdup (self->token_error->message);
    }
  else if (refusal != NULL)
    {
      finding_set (finding, FINDING_FAILED, _("refused, from %s"), find_token_source ());
      finding->advice = g_strjoin ("; ", refusal->message, self->token != NULL ? token_hint (self->token) : NULL, NULL);
    }
  else
    {
      finding_set (finding, FINDING_OK, _("accepted, from %s"), find_token_source ());
    }
  check_report_add (self->report, finding);
}

/* The tunnel */

static void
on_started (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Check *self = data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &self->error);
  self->started = TRUE;
}

/* Differs from the tunnels of 'connect': it has a port of its own, tries once, and uses the mode that shows most at
 * once. */
static void
check_start_tunnel (Check *self)
{
  g_object_set (self->tunnel, "hostname", "127.0.0.1", "port", 0, "socket-path", NULL,
                "mode", TCP_TUNNEL_MODE_MULTIPLEXED, "wait-for-gateway", FALSE, "max-reconnect-attempts", 0,
                "connect-timeout", self->timeout, "keepalive-interval", PING_INTERVAL,
                "keepalive-timeout", self->timeout, NULL);
  /* Whether the gateway supports resumable sessions is one of the findings. */
  if (self->resumption == TCP_TUNNEL_RESUMPTION_REQUIRED)
    g_object_set (self->tunnel, "resumption", TCP_TUNNEL_RESUMPTION_AUTO, NULL);
  if (self->token != NULL)
    tcp_tunnel_set_token (self->tunnel, self->token);
  self->starting = TRUE;
  tcp_endpoint_start_async (TCP_ENDPOINT (self->tunnel), self->cancellable, on_started, self);
}

/* Waits until the tunnel has a result, if it was started at all. */
static void
check_wait_tunnel (Check *self)
{
  while (self->starting && !self->started)
    g_main_context_iteration (NULL, TRUE);
}

/* Adds the message of the tunnel about the failure. */
static gboolean
check_take (Check   *self,
            Finding *finding)
{
  gboolean failed = finding->result == FINDING_FAILED;

  if (failed)
    {
      check_wait_tunnel (self);
      if (self->error != NULL)
        finding->advice = g_strdup (self->error->message);
    }
  if (self->stopped)
    finding_free (finding);
  else
    check_report_add (self->report, finding);
  return !failed && !self->stopped;
}

static gboolean
check_way (Check *self)
{
  static const struct
  {
    Step step;
    Finding *(*probe) (Probe *probe);
  } probes[] = {
    { STEP_NAME, probe_name },
    { STEP_PROXY, probe_proxy },
    { STEP_TCP, probe_tcp },
    { STEP_TLS, probe_tls },
  };

  check_report_begin (self->report, STEP_NAME);
  probe_find_proxy (self->probe);
  for (guint i = 0; i < G_N_ELEMENTS (probes); i++)
    {
      check_report_begin (self->report, probes[i].step);
      if (!check_take (self, probes[i].probe (self->probe)))
        return FALSE;
    }
  return TRUE;
}

/* HTTP */

/* Returns the answer that is part of the message, such as "404 Not Found from nginx/1.22.1". The phrase may have
 * parentheses. */
static char *
find_answer (const GError *error)
{
  g_autoptr (GRegex) regex = g_regex_new ("\\(([1-5][0-9][0-9]( [^()]*(\\([^()]*\\)[^()]*)*)?)\\)", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;

  return g_regex_match (regex, error->message, 0, &match) ? g_match_info_fetch (match, 1) : NULL;
}

/* Whether the answer refuses the token. */
static gboolean
is_refusal (const GError *error,
            const char   *answer)
{
  return g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED) ||
         (answer != NULL && g_str_has_prefix (answer, "403"));
}

/* Handles a failure to open a WebSocket. */
static void
check_no_websocket (Check   *self,
                    Finding *finding)
{
  g_autofree char *answer = find_answer (self->error);

  if (answer != NULL)
    json_object_set_int_member (finding->values, "status", atoi (answer));
  else
    json_object_set_null_member (finding->values, "status");
  if (is_refusal (self->error, answer))
    {
      finding_set (finding, FINDING_OK, "%s", answer != NULL ? answer : "401");
      check_report_add (self->report, finding);
      check_token (self, self->error);
      return;
    }
  finding_set (finding, FINDING_FAILED, "%s", answer != NULL ? answer : _("no WebSocket"));
  finding->advice = g_strdup (self->error->message);
  check_report_add (self->report, finding);
}

static gboolean
check_http (Check *self)
{
  Finding *finding;

  if (self->token_error != NULL)
    return FALSE;
  check_report_begin (self->report, STEP_HTTP);
  check_wait_tunnel (self);
  if (self->stopped)
    return FALSE;
  finding = finding_new (STEP_HTTP);
  if (self->error != NULL)
    {
      check_no_websocket (self, finding);
      return FALSE;
    }
  json_object_set_int_member (finding->values, "status", 101);
  finding_set (finding, FINDING_OK, "101 Switching Protocols");
  check_report_add (self->report, finding);
  check_token (self, NULL);
  return TRUE;
}

/* The protocol over the WebSocket */

static gboolean
check_protocol (Check *self)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (self->tunnel));
  const char *protocol = statistics->protocol;
  gboolean resumable = g_strcmp0 (protocol, "resumable/1") == 0;
  Finding *finding = finding_new (STEP_PROTOCOL);
  gboolean failed = !resumable && self->resumption == TCP_TUNNEL_RESUMPTION_REQUIRED;

  json_object_set_string_member (finding->values, "protocol", protocol);
  json_object_set_boolean_member (finding->values, "resumable", resumable);
  if (resumable)
    {
      finding_set (finding, FINDING_OK, _("%s: TCP connections outlive a break of the WebSocket"), protocol);
    }
  else if (failed)
    {
      finding_set (finding, FINDING_FAILED, "%s", protocol);
      finding->advice = g_strdup_printf (_("the gateway %s cannot resume sessions (it does not speak resumable/1), "
                                           "which is required by %s"),
                                         self->url, settings_source (&target_settings, SETTING_RESUMPTION));
    }
  else
    {
      finding_set (finding, FINDING_OK, _("%s: a break of the WebSocket ends TCP connections"), protocol);
      finding_add_note (finding, "%s", self->resumption == TCP_TUNNEL_RESUMPTION_OFF
                                           ? _("as resumption is off")
                                           : _("since the gateway does not offer resumable/1"));
    }
  check_report_add (self->report, finding);
  return !failed;
}

typedef struct
{
  TcpTunnel *tunnel;
  gint64 last; /* in microseconds, as the following ones */
  gint64 deadline;
  gint64 shortest;
  gint64 longest;
  gint64 sum;
  guint n;
  gboolean over;
} Pings;

/* Each ping takes a different time: an unchanged value means that there was no new ping. */
static gboolean
on_look (gpointer data)
{
  Pings *pings = data;
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (pings->tunnel));
  gint64 time = statistics->round_trip < 0 ? -1 : statistics->round_trip * G_TIME_SPAN_MILLISECOND + 0.5;
  gint64 now = g_get_monotonic_time ();

  if (time >= 0 && time != pings->last)
    {
      pings->shortest = pings->n == 0 ? time : MIN (pings->shortest, time);
      pings->longest = MAX (pings->longest, time);
      pings->sum += time;
      pings->n++;
      pings->last = time;
    }
  pings->over = pings->n == PINGS || tcp_tunnel_get_state (pings->tunnel) != TCP_TUNNEL_STATE_CONNECTED ||
                (pings->deadline > 0 && now >= pings->deadline);
  return G_SOURCE_CONTINUE;
}

static void
describe_pings (Check       *self,
                const Pings *pings,
                Finding     *finding)
{
  g_autoptr (GError) error = tcp_tunnel_dup_last_error (self->tunnel);
  g_autofree char *timeout = format_time (self->timeout * G_TIME_SPAN_MILLISECOND);
  g_autofree char *shortest = format_short_time (pings->shortest);
  g_autofree char *average = format_short_time (pings->sum / MAX (pings->n, 1));
  g_autofree char *longest = format_short_time (pings->longest);

  json_object_set_int_member (finding->values, "pings", pings->n);
  if (pings->n > 0)
    {
      json_object_set_int_member (finding->values, "min_us", pings->shortest);
      json_object_set_int_member (finding->values, "average_us", pings->sum / pings->n);
      json_object_set_int_member (finding->values, "max_us", pings->longest);
    }
  if (tcp_tunnel_get_state (self->tunnel) == TCP_TUNNEL_STATE_CONNECTED && pings->n > 0)
    {
      finding_set (finding, FINDING_OK,
                   ngettext ("%s on average, %s to %s (%u ping)", "%s on average, %s to %s (%u pings)", pings->n), average,
                   shortest, longest, pings->n);
      return;
    }
  if (tcp_tunnel_get_state (self->tunnel) == TCP_TUNNEL_STATE_CONNECTED)
    finding_set (finding, FINDING_FAILED, _("no answer to a ping within %s"), timeout);
  else
    finding_set (finding, FINDING_FAILED,
                 ngettext ("the WebSocket broke after %u ping", "the WebSocket broke after %u pings", pings->n), pings->n);
  finding->advice = g_strjoin ("; ", _("something on the way, such as a proxy, opens the WebSocket but does not "
                                       "forward its data"),
                               error != NULL ? error->message : NULL, NULL);
}

static void
check_round_trip (Check *self)
{
  Finding *finding = finding_new (STEP_ROUND_TRIP);
  Pings pings = {
    .tunnel = self->tunnel,
    .last = -1,
    .deadline = self->timeout > 0 ? g_get_monotonic_time () + self->timeout * G_TIME_SPAN_MILLISECOND : 0,
  };
  guint timer = g_timeout_add (LOOK_INTERVAL, on_look, &pings);

  check_report_begin (self->report, STEP_ROUND_TRIP);
  while (!pings.over && !self->stopped)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timer);
  if (self->stopped)
    {
      finding_free (finding);
      return;
    }
  describe_pings (self, &pings, finding);
  check_report_add (self->report, finding);
}

/* All steps */

static gboolean
check_prepare (Check   *self,
               GError **error)
{
  TcpTunnelLogLevel level = TCP_TUNNEL_LOG_LEVEL_NONE;

  self->timeout = DEFAULT_TIMEOUT;
  if (!options_read_duration ("--timeout", options.timeout, MAX_TIMEOUT, &self->timeout, error))
    return FALSE;
  self->tunnel = settings_create_tunnel (&target_settings, error);
  if (self->tunnel == NULL)
    return FALSE;
  g_object_get (self->tunnel, "resumption", &self->resumption, NULL);
  if (settings_has (&target_settings, SETTING_LOG_LEVEL))
    g_object_get (self->tunnel, "log-level", &level, NULL);
  g_object_set (self->tunnel, "log-level", level, NULL);
  log_init (level);
  return TRUE;
}

static void
check_run (Check *self,
           GUri  *uri)
{
  g_autoptr (GTlsDatabase) database = NULL;

  g_object_get (self->tunnel, "tls-database", &database, NULL);
  self->probe = probe_new (uri, target_settings.values[SETTING_CONNECT_TO], database, self->timeout);
  if (self->stopped)
    probe_stop (self->probe);
  check_read_token (self);
  if (self->token_error == NULL && !self->stopped)
    check_start_tunnel (self);
  if (check_way (self) && check_http (self) && check_protocol (self))
    check_round_trip (self);
  /* This is known in any case. */
  else if (self->token_error != NULL && !self->stopped)
    check_token (self, NULL);
  check_wait_tunnel (self);
  tcp_endpoint_close (TCP_ENDPOINT (self->tunnel));
}

static int
check_finish (Check *self)
{
  gboolean ok = FALSE;
  int code = check_report_end (self->report, self->url, &ok);

  if (code != 0)
    {
      g_autoptr (GError) error = options_stdout_error (code);

      return options_failure ("check", error);
    }
  return ok ? EXIT_SUCCESS : EXIT_FAILED;
}

/* The services of a tunnel make no difference to the path to its gateway. */
static void
forget_services (Settings *settings)
{
  static const Setting kinds[] = { SETTING_TO, SETTING_REMOTE_PORT, SETTING_SOCKS, SETTING_HTTP_PROXY };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    g_clear_pointer (&settings->values[kinds[i]], g_free);
  /* Neither does the address on which it listens; and the service manager passes its sockets to the service only. */
  if (options_is_activated (settings->values[SETTING_LISTEN]))
    g_clear_pointer (&settings->values[SETTING_LISTEN], g_free);
  g_clear_pointer (&settings->reverses, g_strfreev);
  g_clear_pointer (&settings->forwards, g_strfreev);
}

int
check_main (char ***args)
{
  g_auto (Check) self = { .cancellable = g_cancellable_new () };
  g_autoptr (GError) problem = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GUri) uri = NULL;
  gboolean known;

  if (!options_parse ("check", "URL|NAME", N_("Find out why a tunnel to URL does not work."), description, entries, args,
                      &error) ||
      !target_check (*args, &error))
    return options_usage ("check", error);
  known = target_read ((*args)[1], &problem);
  forget_services (&target_settings);
  if (!check_prepare (&self, &error) ||
      (known && !try_settings (&error)))
    return options_usage ("check", error);

  self.report = check_report_new (options.json);
  options_on_signal (on_stop, NULL, &self);
  uri = check_url (&self, problem);
  if (uri != NULL)
    check_run (&self, uri);
  if (self.stopped)
    return EXIT_FAILED;
  return check_finish (&self);
}
