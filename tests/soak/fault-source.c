/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fault-source.h"

#include "monitor.h"
#include "test-util.h"

#define MIN_PAUSE_MS 50
#define MAX_PAUSE_MS 300
#define MAX_OFFSET (1 << 20)

/* After this many failures from which the tunnel has not recovered, it gets time to do so. */
#define MAX_FAULTS 3

typedef enum
{
  CUT_AT_OFFSET,
  CUT,
  RESET,
  STALL,
  HALF_OPEN_AT_TUNNEL,
  HALF_OPEN_AT_GATEWAY,
  BLACK_HOLE,
  N_KINDS,
} Kind;

static const struct
{
  const char *name;
  guint weight;
} kinds[N_KINDS] = {
  { "cuts at an offset", 50 },
  { "cuts", 10 },
  { "resets", 12 },
  { "stalls", 12 },
  { "half-open at the tunnel", 6 },
  { "half-open at the gateway", 5 },
  { "black holes", 5 },
};

struct _FaultSource
{
  GThread *thread;
  FaultProxy *proxy;
  TcpTunnel *tunnel; /* not owned */
  GRand *rand;
  Monitor monitor;
  gboolean quit;
  guint counts[N_KINDS];
};

/* Returns FALSE if the thread has to end. */
static gboolean
wait_for (FaultSource *source,
          guint milliseconds)
{
  gint64 deadline = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;

  return !MONITOR_WAIT_FOR (&source->monitor, deadline, source->quit);
}

static Kind
draw_kind (GRand *rand)
{
  guint sum = 0;
  guint kind = 0;
  guint drawn;

  for (guint i = 0; i < N_KINDS; i++)
    sum += kinds[i].weight;
  drawn = g_rand_int_range (rand, 0, sum);
  while (drawn >= kinds[kind].weight)
    drawn -= kinds[kind++].weight;

  return kind;
}

/* Small offsets are drawn more often than large ones: most of the data is in large frames, but breaks in small frames
 * cause errors more often. */
static guint64
draw_offset (GRand *rand)
{
  guint bits = g_rand_int_range (rand, 1, 21);

  return 1 + g_rand_int_range (rand, 0, MIN (1 << bits, MAX_OFFSET));
}

static void
cause_fault (FaultSource *source,
             Kind kind)
{
  FaultDirection direction = g_rand_boolean (source->rand) ? FAULT_UP : FAULT_DOWN;
  guint64 offset = draw_offset (source->rand);
  guint length = g_rand_int_range (source->rand, MIN_PAUSE_MS, 4 * MAX_PAUSE_MS);
  gboolean reset = g_rand_boolean (source->rand);

  source->counts[kind]++;
  switch (kind)
    {
    case CUT_AT_OFFSET:
      fault_proxy_cut_after (source->proxy, direction, offset);
      break;
    case CUT:
      fault_proxy_cut (source->proxy);
      break;
    case RESET:
      fault_proxy_reset (source->proxy);
      break;
    case STALL:
      fault_proxy_stall (source->proxy, direction, TRUE);
      wait_for (source, length / 4);
      if (reset)
        fault_proxy_reset (source->proxy);
      fault_proxy_stall (source->proxy, direction, FALSE);
      break;
    case HALF_OPEN_AT_TUNNEL:
      fault_proxy_half_open (source->proxy, FAULT_TUNNEL_SIDE);
      break;
    case HALF_OPEN_AT_GATEWAY:
      fault_proxy_half_open (source->proxy, FAULT_GATEWAY_SIDE);
      break;
    case BLACK_HOLE:
      fault_proxy_black_hole (source->proxy, TRUE);
      wait_for (source, length);
      fault_proxy_black_hole (source->proxy, FALSE);
      break;
    case N_KINDS:
    default:
      g_assert_not_reached ();
    }
}

static gpointer
run (gpointer user_data)
{
  FaultSource *source = user_data;
  guint n_faults = 0;

  while (wait_for (source, g_rand_int_range (source->rand, MIN_PAUSE_MS, MAX_PAUSE_MS)))
    {
      if (tcp_tunnel_get_state (source->tunnel) == TCP_TUNNEL_STATE_CONNECTED)
        n_faults = 0;
      if (n_faults++ < MAX_FAULTS)
        cause_fault (source, draw_kind (source->rand));
    }

  return NULL;
}

FaultSource *
fault_source_new (FaultProxy *proxy,
                  TcpTunnel *tunnel,
                  guint32 seed)
{
  FaultSource *source = g_new0 (FaultSource, 1);

  source->proxy = proxy;
  source->tunnel = tunnel;
  source->rand = g_rand_new_with_seed (seed);
  monitor_init (&source->monitor);
  source->thread = g_thread_new ("faults", run, source);

  return source;
}

char *
fault_source_stop (FaultSource *source)
{
  GString *report = g_string_new (NULL);

  monitor_enter (&source->monitor);
  source->quit = TRUE;
  monitor_changed (&source->monitor);
  monitor_leave (&source->monitor);
  g_thread_join (source->thread);
  fault_proxy_cut_after (source->proxy, FAULT_UP, 0);
  fault_proxy_cut_after (source->proxy, FAULT_DOWN, 0);

  for (guint i = 0; i < N_KINDS; i++)
    g_string_append_printf (report, "%s%u %s", i > 0 ? ", " : "", source->counts[i], kinds[i].name);
  g_rand_free (source->rand);
  monitor_clear (&source->monitor);
  g_free (source);

  return g_string_free (report, FALSE);
}
