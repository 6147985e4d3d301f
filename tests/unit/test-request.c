/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/request.h"

#include <string.h>

static void
check_good (const char *query,
            gboolean    multiplexed,
            const char *session_id)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpRequest) request = tcp_request_parse (query, &refusal);

  g_assert_nonnull (request);
  g_assert_cmpint (request->multiplexed, ==, multiplexed);
  g_assert_cmpstr (request->session_id, ==, session_id);
  g_assert_null (request->principal);
  g_assert_null (refusal.text);
}

static void
check_bad (const char *query)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpRequest) request = tcp_request_parse (query, &refusal);

  g_assert_null (request);
  g_assert_cmpuint (refusal.status, ==, 400);
  g_assert_nonnull (refusal.text);
  /* Text of a stranger is not repeated. */
  g_assert_null (strstr (refusal.text, "bogus"));
}

static void
test_mode (void)
{
  check_good (NULL, FALSE, NULL);
  check_good ("", FALSE, NULL);
  check_good ("mode=singleton", FALSE, NULL);
  check_good ("mode=multiplexed", TRUE, NULL);
  check_good ("a=b&mode=multiplexed&c", TRUE, NULL);
  check_good ("mode=multip%6cexed", TRUE, NULL);
  check_good ("modes=bogus", FALSE, NULL);
  check_bad ("mode=bogus");
  check_bad ("mode=");
  check_bad ("mode=Multiplexed");
}

static void
test_port (void)
{
  check_good ("port=1", TRUE, NULL);
  check_good ("port=65535", TRUE, NULL);
  check_good ("port=5555&mode=singleton", TRUE, NULL);
  check_bad ("port=0");
  check_bad ("port=65536");
  check_bad ("port=-1");
  check_bad ("port=bogus");
  check_bad ("port=");
  check_bad ("port=12bogus");
}

static void
test_reverse (void)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpRequest) request = tcp_request_parse ("sessionId=a&remotePort=57090", &refusal);

  g_assert_true (request->reverse);
  g_assert_cmpuint (request->remote_port, ==, 57090);
  g_assert_true (tcp_request_get_protocol (request) == &tcp_protocol_reverse);
  g_assert_null (tcp_request_get_session (request));
  request->resumable = TRUE;
  g_assert_true (tcp_request_get_protocol (request) == &tcp_protocol_resumable);

  check_good ("remoteport=57090", FALSE, NULL);
  check_good ("remotePort=0", TRUE, NULL);
  check_good ("remotePorts&a=remotePort", FALSE, NULL);
  check_bad ("remotePort=");
  check_bad ("remotePort");
  check_bad ("mode=multiplexed&remote%50ort");
  check_bad ("remotePort=bogus&mode=multiplexed");
  check_bad ("remotePort=65536");
  check_bad ("remotePort=-1");
}

static void
test_session_id (void)
{
  g_autofree char *longest = g_strnfill (128, 'x');
  g_autofree char *good = g_strconcat ("sessionId=", longest, NULL);
  g_autofree char *too_long = g_strconcat ("sessionId=", longest, "x", NULL);

  check_good ("sessionId=a", FALSE, "a");
  check_good ("sessionId=6f1f6f0e-55a8-4f0e-9c4e-2f5f2b9f3a11", FALSE, "6f1f6f0e-55a8-4f0e-9c4e-2f5f2b9f3a11");
  check_good ("sessionId=A_b.C-9&mode=multiplexed", TRUE, "A_b.C-9");
  check_good (good, FALSE, longest);
  check_bad (too_long);
  check_bad ("sessionId=");
  check_bad ("sessionId=bogus%20bogus");
  check_bad ("sessionId=bogus%0d%0a");
  check_bad ("sessionId=bogus/..");
  check_bad ("sessionId=%c3%a9");
}

static void
test_odd_queries (void)
{
  check_good ("&&&=&", FALSE, NULL);
  check_good ("%", FALSE, NULL);
  check_good ("%zz=%zz", FALSE, NULL);
  check_good ("mode", FALSE, NULL);
  check_good ("sessionId", FALSE, NULL);
}

static void
test_refuse (void)
{
  g_auto (TcpRefusal) refusal = { 0 };

  g_assert_false (tcp_refuse (&refusal, 403, "no %d", 1));
  g_assert_cmpstr (refusal.text, ==, "no 1");
  g_assert_false (tcp_refuse (&refusal, 404, "no %d", 2));
  g_assert_cmpuint (refusal.status, ==, 404);
  g_assert_cmpstr (refusal.text, ==, "no 2");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/request/mode", test_mode);
  g_test_add_func ("/request/port", test_port);
  g_test_add_func ("/request/reverse", test_reverse);
  g_test_add_func ("/request/session-id", test_session_id);
  g_test_add_func ("/request/odd-queries", test_odd_queries);
  g_test_add_func ("/request/refuse", test_refuse);
  return g_test_run ();
}
