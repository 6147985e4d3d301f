/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/json.h"

typedef enum
{
  GAUGE,
  COUNTER,
} Type;

/* A metric. Those of one name follow each other, and differ in their labels. */
typedef struct
{
  const char *name;
  const char *labels; /* nullable */
  Type type;
  const char *help; /* of the first of its name */
  gsize offset;
} Row;

#define S(field) G_STRUCT_OFFSET (TcpStatistics, field)
#define M(field) G_STRUCT_OFFSET (TcpGatewayMetrics, field)

static const Row of_statistics[] = {
  { "connections", NULL, GAUGE, "Connections to targets that are open.", S (open_connections) },
  { "connections_opened_total", NULL, COUNTER, "Connections that clients have asked for.", S (total_connections) },
  { "transferred_bytes_total", "direction=\"to_client\"", COUNTER, "Payload that was carried.", S (bytes_sent) },
  { "transferred_bytes_total", "direction=\"to_target\"", COUNTER, NULL, S (bytes_received) },
  { "session_resumes_total", NULL, COUNTER, "Sessions that went on over another WebSocket.", S (resumes) },
  { "replayed_bytes_total", NULL, COUNTER, "Bytes that were sent again when sessions were resumed.", S (bytes_replayed) },
  { "unacknowledged_bytes", NULL, GAUGE, "Bytes that are kept until the client has acknowledged them.",
    S (unacknowledged_bytes) },
  { "receive_window_bytes", NULL, GAUGE, "Credit that clients have and have not used.", S (receive_window) },
  { "send_window_bytes", NULL, GAUGE, "Credit that clients have given and that was not used.", S (send_window) },
};

static const Row of_gateway[] = {
  { "sessions", NULL, GAUGE, "Sessions, with those that wait for their client.", M (open_sessions) },
  { "sessions_max", NULL, GAUGE, "Sessions that there may be.", M (max_sessions) },
  { "sessions_opened_total", NULL, COUNTER, "Sessions that have begun.", M (total_sessions) },
  { "websockets", NULL, GAUGE, "WebSockets that are open.", M (open_websockets) },
  { "pending_connections", NULL, GAUGE, "Accepted connections that are not a WebSocket yet.", M (pending_connections) },
  { "accepted_connections_total", NULL, COUNTER, "TCP connections that the listeners have accepted.", M (accepted_connections) },
  { "dropped_connections_total", NULL, COUNTER, "Accepted connections that were closed without an answer.",
    M (dropped_connections) },
  { "refused_requests_total", NULL, COUNTER, "Requests for a WebSocket that were refused.", M (refused_requests) },
  { "authentication_failures_total", NULL, COUNTER, "Requests that were refused as they had no valid token.",
    M (authentication_failures) },
  { "tls_handshakes_total", "result=\"success\"", COUNTER, "TLS handshakes.", M (tls_handshakes) },
  { "tls_handshakes_total", "result=\"failure\"", COUNTER, NULL, M (tls_failures) },
  { "connections_max", NULL, GAUGE, "Connections to targets that there may be.", M (max_connections) },
  { "dials", NULL, GAUGE, "Connections to targets that are being made.", M (open_dials) },
  { "dials_max", NULL, GAUGE, "Connections to targets that may be made at a time.", M (max_dials) },
  { "dial_errors_total", "reason=\"refused\"", COUNTER, "Connections to targets that were not made.", M (dials_refused) },
  { "dial_errors_total", "reason=\"unreachable\"", COUNTER, NULL, M (dials_unreachable) },
  { "dial_errors_total", "reason=\"timeout\"", COUNTER, NULL, M (dials_timed_out) },
  { "dial_errors_total", "reason=\"name\"", COUNTER, NULL, M (dials_unresolved) },
  { "dial_errors_total", "reason=\"forbidden\"", COUNTER, NULL, M (dials_forbidden) },
  { "dial_errors_total", "reason=\"limit\"", COUNTER, NULL, M (dials_limited) },
  { "limit_hits_total", "limit=\"max-connections\"", COUNTER, "What was refused because of a limit.",
    M (hits_max_connections) },
  { "limit_hits_total", "limit=\"max-memory\"", COUNTER, NULL, M (hits_max_memory) },
  { "limit_hits_total", "limit=\"max-dials\"", COUNTER, NULL, M (hits_max_dials) },
  { "limit_hits_total", "limit=\"max-principal-sessions\"", COUNTER, NULL, M (hits_max_principal_sessions) },
  { "limit_hits_total", "limit=\"max-principal-connections\"", COUNTER, NULL, M (hits_max_principal_connections) },
  { "limit_hits_total", "limit=\"max-principal-dials\"", COUNTER, NULL, M (hits_max_principal_dials) },
  { "limit_hits_total", "limit=\"max-principal-dial-rate\"", COUNTER, NULL, M (hits_max_principal_dial_rate) },
  { "limit_hits_total", "limit=\"descriptors\"", COUNTER, NULL, M (hits_descriptors) },
  { "limit_hits_total", "limit=\"pending\"", COUNTER, NULL, M (hits_pending) },
  { "memory_bytes", NULL, GAUGE, "What sessions hold of the memory that they share.", M (memory) },
  { "memory_max_bytes", NULL, GAUGE, "The memory that sessions share.", M (max_memory) },
  { "dropped_events_total", NULL, COUNTER, "Connections of which the command did not learn, as it was too slow.",
    M (dropped_events) },
};

static void
add_head (GString    *text,
          const char *name,
          const char *type,
          const char *help)
{
  g_string_append_printf (text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
add_rows (GString       *text,
          const Row     *rows,
          gsize          n_rows,
          gconstpointer  figures)
{
  for (gsize i = 0; i < n_rows; i++)
    {
      const Row *row = &rows[i];
      g_autofree char *name = g_strconcat ("tcptunnel_", row->name, NULL);

      if (row->help != NULL)
        add_head (text, name, row->type == COUNTER ? "counter" : "gauge", row->help);
      g_string_append (text, name);
      if (row->labels != NULL)
        g_string_append_printf (text, "{%s}", row->labels);
      g_string_append_printf (text, " %" G_GUINT64_FORMAT "\n",
                              *(const guint64 *) ((const char *) figures + row->offset));
    }
}

static void
add_double (GString *text,
            double   value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append (text, g_ascii_dtostr (buffer, sizeof buffer, value));
}

/* Adds a metric without labels. */
static void
add_figure (GString    *text,
            const char *name,
            const char *type,
            const char *help,
            double      value)
{
  add_head (text, name, type, help);
  g_string_append_printf (text, "%s ", name);
  add_double (text, value);
  g_string_append_c (text, '\n');
}

/* @sum is in milliseconds. */
static void
add_histogram (GString       *text,
               const char    *name,
               const char    *help,
               const double  *bounds,
               const guint64 *buckets,
               gsize          n_buckets,
               double         sum)
{
  guint64 total = 0;

  add_head (text, name, "histogram", help);
  for (gsize i = 0; i < n_buckets; i++)
    {
      total += buckets[i];
      g_string_append_printf (text, "%s_bucket{le=\"", name);
      if (i < n_buckets - 1)
        add_double (text, bounds[i] / 1000);
      else
        g_string_append (text, "+Inf");
      g_string_append_printf (text, "\"} %" G_GUINT64_FORMAT "\n", total);
    }
  g_string_append_printf (text, "%s_sum ", name);
  add_double (text, sum / 1000);
  g_string_append_printf (text, "\n%s_count %" G_GUINT64_FORMAT "\n", name, total);
}

static void
add_histograms (GString                 *text,
                const TcpGatewayMetrics *metrics)
{
  gsize n;
  const double *bounds = tcp_gateway_metrics_get_bounds (metrics, &n);
  const guint64 *buckets = tcp_gateway_metrics_get_websocket_buckets (metrics, &n);

  add_histogram (text, "tcptunnel_websocket_open_seconds", "From the accepted TCP connection to the WebSocket.", bounds,
                 buckets, n, metrics->websocket_time);
  buckets = tcp_gateway_metrics_get_dial_buckets (metrics, &n);
  add_histogram (text, "tcptunnel_dial_seconds", "From the request of a client to the connection to its target.", bounds,
                 buckets, n, metrics->dial_time);
}

/* The metrics of the process, as in Prometheus' client libraries */

/* The index in /proc/self/stat behind the name, see proc(5). */
#define START_TICKS 19

/* In seconds since 1970. Determined once, or it would change with the clock; 0 if it is not available. */
static double
get_start_time (void)
{
  static double started;
  g_autofree char *text = NULL;
  g_auto (GStrv) fields = NULL;
  struct timespec up;

  if (started != 0 || !g_file_get_contents ("/proc/self/stat", &text, NULL, NULL) || strrchr (text, ')') == NULL)
    return started;

  fields = g_strsplit (strrchr (text, ')') + 2, " ", -1);
  if (g_strv_length (fields) > START_TICKS && clock_gettime (CLOCK_BOOTTIME, &up) == 0)
    started = g_get_real_time () / (double) G_USEC_PER_SEC - up.tv_sec - up.tv_nsec / 1e9 +
              g_ascii_strtod (fields[START_TICKS], NULL) / sysconf (_SC_CLK_TCK);
  return started;
}

/* From Linux 6.2 on this is the size of the directory. Otherwise they are counted. */
static guint
count_descriptors (void)
{
  struct stat info;
  g_autoptr (GDir) directory = NULL;
  guint n = 0;

  if (stat ("/proc/self/fd", &info) == 0 && info.st_size > 0)
    return info.st_size;
  directory = g_dir_open ("/proc/self/fd", 0, NULL);
  while (directory != NULL && g_dir_read_name (directory) != NULL)
    n++;
  return n > 0 ? n - 1 : 0;
}

static void
add_process (GString *text)
{
  struct rusage usage;
  struct rlimit limit;
  guint64 size = 0, resident = 0;
  FILE *file = fopen ("/proc/self/statm", "re");

  if (file != NULL)
    {
      if (fscanf (file, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, &size, &resident) != 2)
        size = resident = 0;
      fclose (file);
    }
  getrusage (RUSAGE_SELF, &usage);
  getrlimit (RLIMIT_NOFILE, &limit);
  add_figure (text, "process_cpu_seconds_total", "counter", "Time that the processors have spent.",
              usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  add_figure (text, "process_start_time_seconds", "gauge", "When it was started, in seconds since 1970.",
              get_start_time ());
  add_figure (text, "process_virtual_memory_bytes", "gauge", "Virtual memory.", size * (double) sysconf (_SC_PAGESIZE));
  add_figure (text, "process_resident_memory_bytes", "gauge", "Memory.", resident * (double) sysconf (_SC_PAGESIZE));
  add_figure (text, "process_open_fds", "gauge", "File descriptors that are open.", count_descriptors ());
  add_figure (text, "process_max_fds", "gauge", "File descriptors that may be open.", limit.rlim_cur);
}

static void
add_access_log (GString         *text,
                const AccessLog *log)
{
  AccessLogCounts counts;

  access_log_get_counts (log, &counts);
  add_figure (text, "tcptunnel_access_log_lines_total", "counter", "Lines that were written to the access log.",
              counts.written);
  add_head (text, "tcptunnel_access_log_lost_total", "counter", "Lines that are missing in the access log.");
  g_string_append_printf (text, "tcptunnel_access_log_lost_total{reason=\"slow\"} %" G_GUINT64_FORMAT "\n", counts.dropped);
  g_string_append_printf (text, "tcptunnel_access_log_lost_total{reason=\"error\"} %" G_GUINT64_FORMAT "\n", counts.failed);
}

/**
 * metrics_format:
 * @log: (nullable): the access log
 *
 * Returns: (transfer full): all metrics
 */
char *
metrics_format (TcpGateway      *gateway,
                gboolean         draining,
                const AccessLog *log)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (gateway));
  g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (gateway);
  GString *text = g_string_sized_new (12 * 1024);

  add_head (text, "tcptunnel_build_info", "gauge", "The version, as a label.");
  g_string_append (text, "tcptunnel_build_info{version=\"" TCP_TUNNEL_VERSION_S "\"} 1\n");
  add_figure (text, "tcptunnel_draining", "gauge", "Whether no new connections are taken.", draining);
  add_rows (text, of_statistics, G_N_ELEMENTS (of_statistics), statistics);
  add_rows (text, of_gateway, G_N_ELEMENTS (of_gateway), metrics);
  add_histograms (text, metrics);
  if (log != NULL)
    add_access_log (text, log);
  add_process (text);
  return g_string_free (text, FALSE);
}

/* As name: value, or name: { label: value, … } */
static void
describe_rows (JsonBuilder   *builder,
               const Row     *rows,
               gsize          n_rows,
               gconstpointer  figures)
{
  for (gsize i = 0; i < n_rows; i++)
    {
      const Row *row = &rows[i];
      guint64 value = *(const guint64 *) ((const char *) figures + row->offset);

      if (row->labels == NULL)
        {
          event_add_int (builder, row->name, value);
          continue;
        }

      if (row->help != NULL)
        {
          json_builder_set_member_name (builder, row->name);
          json_builder_begin_object (builder);
        }
      {
        const char *label = strchr (row->labels, '"') + 1;
        g_autofree char *key = g_strndup (label, strcspn (label, "\""));

        event_add_int (builder, key, value);
      }
      if (i + 1 == n_rows || strcmp (rows[i + 1].name, row->name) != 0)
        json_builder_end_object (builder);
    }
}

/**
 * metrics_describe:
 * @builder: a builder with an open object
 *
 * Adds the metrics of the gateway, without those of the process.
 */
void
metrics_describe (TcpGateway  *gateway,
                  JsonBuilder *builder)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (gateway));
  g_autoptr (TcpGatewayMetrics) metrics = tcp_gateway_get_metrics (gateway);

  describe_rows (builder, of_statistics, G_N_ELEMENTS (of_statistics), statistics);
  describe_rows (builder, of_gateway, G_N_ELEMENTS (of_gateway), metrics);
}
