/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resume-rig.h"

Fixture *
resume_new (Target *target,
            TcpTunnelMode mode)
{
  return fixture_new (target, mode, FIXTURE_PROXY | FIXTURE_RESUMABLE);
}

Fixture *
resume_start (Target *target,
              TcpTunnelMode mode)
{
  Fixture *fixture = resume_new (target, mode);

  fixture_start (fixture);
  return fixture;
}

static void
stay_away (Fixture *fixture)
{
  WAIT_UNTIL (fixture->recorder->last_state != TCP_TUNNEL_STATE_CONNECTED);
}

int
resume_begin (Fixture *fixture)
{
  int fd;

  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "before");
  return fd;
}

void
resume_cut (Fixture *fixture,
            int fd,
            guint count)
{
  for (guint i = 1; i <= count; i++)
    {
      client_round_trip (fd, "progress");
      fault_proxy_reset (fixture->proxy);
      resume_expect (fixture, i);
    }
  client_round_trip (fd, "progress");
}

void
resume_go_away (Fixture *fixture)
{
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_reset (fixture->proxy);
  stay_away (fixture);
}

void
resume_go_away_unheard (Fixture *fixture)
{
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_half_open (fixture->proxy, FAULT_TUNNEL_SIDE);
  stay_away (fixture);
}

void
resume_come_back (Fixture *fixture)
{
  fault_proxy_refuse (fixture->proxy, FALSE);
}

Pair
pair_open (Fixture *fixture,
           Target *target)
{
  Pair pair = { .client = fixture_connect (fixture) };

  pair.target = target_accept (target);
  return pair;
}

static void
pass (int from,
      int to,
      const char *text)
{
  gsize length = strlen (text);
  char data[64];

  client_write (from, text, length);
  client_read (to, data, length);
  g_assert_cmpmem (data, length, text, length);
}

void
pair_round_trip (Pair *pair)
{
  pass (pair->client, pair->target, "from the client");
  pass (pair->target, pair->client, "from the target");
}

void
pair_clear (Pair *pair)
{
  if (pair->client >= 0)
    client_close (pair->client);
  if (pair->target >= 0)
    client_close (pair->target);
}

void
expect_closed_at (const char *where,
                  Fixture *fixture,
                  guint count,
                  int code)
{
  GError *error;

  WAIT_UNTIL (fixture->recorder->closed >= count);
  g_assert_cmpuint (fixture->recorder->closed, ==, count);
  error = fixture->recorder->closed_error;
  if (code < 0 && error != NULL)
    test_fail (where, "an orderly end was due, but: %s", error->message);
  if (code >= 0 && !g_error_matches (error, TCP_TUNNEL_ERROR, code))
    test_fail (where, "an error with code %d was due, got %s", code, error != NULL ? error->message : "none");
}

typedef struct
{
  ModeTest test;
  TcpTunnelMode mode;
} ModeCase;

static void
run_mode_test (gconstpointer user_data)
{
  const ModeCase *mode_case = user_data;

  mode_case->test (mode_case->mode);
}

static void
add_one (const char *path,
         const char *mode_name,
         TcpTunnelMode mode,
         ModeTest test)
{
  g_autofree char *full = g_strdup_printf ("%s/%s", path, mode_name);
  ModeCase *mode_case = g_new (ModeCase, 1);

  *mode_case = (ModeCase) { test, mode };
  g_test_add_data_func_full (full, mode_case, run_mode_test, g_free);
}

void
add_long_mode_test (const char *path,
                    ModeTest test)
{
  add_one (path, "singleton", TCP_TUNNEL_MODE_SINGLETON, test);
  add_one (path, "multiplexed", TCP_TUNNEL_MODE_MULTIPLEXED, test);
}

void
add_mode_test (const char *path,
               ModeTest test)
{
  add_long_mode_test (path, test);
  add_one (path, "parallel", TCP_TUNNEL_MODE_PARALLEL, test);
  add_one (path, "auto", TCP_TUNNEL_MODE_AUTO, test);
}
