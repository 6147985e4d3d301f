/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "weather.h"

#include "monitor.h"
#include "test-util.h"

#define MIN_PAUSE_MS 50
#define MAX_PAUSE_MS 300
#define MAX_OFFSET (1 << 20)

/* After this many failures from which the tunnel has not recovered, it gets time to do so. */
#define MAX_BLOWS 3

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

struct _Weather
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
wait_for (Weather *weather,
          guint milliseconds)
{
  gint64 deadline = g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;

  return !MONITOR_WAIT_FOR (&weather->monitor, deadline, weather->quit);
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

/* Most of what a WebSocket carries is large, but most places where something can go wrong are small. */
static guint64
draw_offset (GRand *rand)
{
  guint bits = g_rand_int_range (rand, 1, 21);

  return 1 + g_rand_int_range (rand, 0, MIN (1 << bits, MAX_OFFSET));
}

static void
strike (Weather *weather,
        Kind kind)
{
  FaultDirection direction = g_rand_boolean (weather->rand) ? FAULT_UP : FAULT_DOWN;
  guint64 offset = draw_offset (weather->rand);
  guint length = g_rand_int_range (weather->rand, MIN_PAUSE_MS, 4 * MAX_PAUSE_MS);
  gboolean reset = g_rand_boolean (weather->rand);

  weather->counts[kind]++;
  switch (kind)
    {
    case CUT_AT_OFFSET:
      fault_proxy_cut_after (weather->proxy, direction, offset);
      break;
    case CUT:
      fault_proxy_cut (weather->proxy);
      break;
    case RESET:
      fault_proxy_reset (weather->proxy);
      break;
    case STALL:
      fault_proxy_stall (weather->proxy, direction, TRUE);
      wait_for (weather, length / 4);
      if (reset)
        fault_proxy_reset (weather->proxy);
      fault_proxy_stall (weather->proxy, direction, FALSE);
      break;
    case HALF_OPEN_AT_TUNNEL:
      fault_proxy_half_open (weather->proxy, FAULT_TUNNEL_SIDE);
      break;
    case HALF_OPEN_AT_GATEWAY:
      fault_proxy_half_open (weather->proxy, FAULT_GATEWAY_SIDE);
      break;
    case BLACK_HOLE:
      fault_proxy_black_hole (weather->proxy, TRUE);
      wait_for (weather, length);
      fault_proxy_black_hole (weather->proxy, FALSE);
      break;
    case N_KINDS:
    default:
      g_assert_not_reached ();
    }
}

static gpointer
run (gpointer user_data)
{
  Weather *weather = user_data;
  guint blows = 0;

  while (wait_for (weather, g_rand_int_range (weather->rand, MIN_PAUSE_MS, MAX_PAUSE_MS)))
    {
      if (tcp_tunnel_get_state (weather->tunnel) == TCP_TUNNEL_STATE_CONNECTED)
        blows = 0;
      if (blows++ < MAX_BLOWS)
        strike (weather, draw_kind (weather->rand));
    }

  return NULL;
}

Weather *
weather_new (FaultProxy *proxy,
             TcpTunnel *tunnel,
             guint32 seed)
{
  Weather *weather = g_new0 (Weather, 1);

  weather->proxy = proxy;
  weather->tunnel = tunnel;
  weather->rand = g_rand_new_with_seed (seed);
  monitor_init (&weather->monitor);
  weather->thread = g_thread_new ("weather", run, weather);

  return weather;
}

char *
weather_stop (Weather *weather)
{
  GString *report = g_string_new (NULL);

  monitor_enter (&weather->monitor);
  weather->quit = TRUE;
  monitor_changed (&weather->monitor);
  monitor_leave (&weather->monitor);
  g_thread_join (weather->thread);
  fault_proxy_cut_after (weather->proxy, FAULT_UP, 0);
  fault_proxy_cut_after (weather->proxy, FAULT_DOWN, 0);

  for (guint i = 0; i < N_KINDS; i++)
    g_string_append_printf (report, "%s%u %s", i > 0 ? ", " : "", weather->counts[i], kinds[i].name);
  g_rand_free (weather->rand);
  monitor_clear (&weather->monitor);
  g_free (weather);

  return g_string_free (report, FALSE);
}
