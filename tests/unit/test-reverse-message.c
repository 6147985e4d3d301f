/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/reverse-message.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

static void
test_ready (void)
{
  static const char *const texts[] = {
    "{\"type\":\"ready\",\"remoteHost\":\"10.0.0.1\",\"remotePort\":57090}",
    " {\n\t\"remotePort\" : 5.709e4 ,\r \"remoteHost\" : \"\\u0031\\u0030.0.0.1\", \"more\" : [ { \"type\" : null }, -0.5, [], \"\\\\\" ],"
    " \"type\" : \"ready\" } ",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_auto (TcpReverseMessage) message = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_true (tcp_reverse_message_parse (texts[i], strlen (texts[i]), &message, &error));
      g_assert_no_error (error);
      g_assert_cmpstr (message.host, ==, "10.0.0.1");
      g_assert_cmpuint (message.port, ==, 57090);
      g_assert_null (message.refusal);
    }
}

static void
test_hosts (void)
{
  static const char *const hosts[] = { "10.0.0.1", "::", "fe80::1%eth0.5", "::ffff:1.2.3.4", "build-7.example.org", "localhost" };

  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autofree char *text = tcp_reverse_message_format_ready (hosts[i], 1);
      g_auto (TcpReverseMessage) message = { 0 };

      g_assert_true (tcp_reverse_message_parse (text, strlen (text), &message, NULL));
      g_assert_cmpstr (message.host, ==, hosts[i]);
    }
}

static void
test_error (void)
{
  static const char text[] = "{\"type\":\"error\",\"message\":\"\\\"taken\\\" \\u00fc \\ud83d\\ude00 \\ud83d \\n\"}";
  g_auto (TcpReverseMessage) message = { 0 };

  g_assert_true (tcp_reverse_message_parse (text, strlen (text), &message, NULL));
  g_assert_null (message.host);
  /* It is shown in a message, on one line. */
  g_assert_cmpstr (message.refusal, ==, "\"taken\" ü 😀 � \\x0a");
}

static void
assert_refused (const char *text,
                gsize       length,
                const char *wanted)
{
  g_auto (TcpReverseMessage) message = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_reverse_message_parse (text, length, &message, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
  if (strstr (error->message, wanted) == NULL)
    g_error ("“%s” is refused as “%s”", text, error->message);
}

static void
test_refused (void)
{
  static const char *const malformed[] = {
    "", "ready", "\"ready\"", "[]", "{", "{}x", "{\"type\"}", "{\"type\":}", "{\"type\":\"ready\"", "{\"type\":\"ready\",}",
    "{type:\"ready\"}", "{\"type\":'ready'}", "{\"type\":\"\\x\"}", "{\"type\":\"\\u12g4\"}", "{\"type\":\"a\nb\"}", "{\"a\":01}",
    "{\"a\":+1}", "{\"a\":nan}", "{\"a\":0x1}", "{\"a\":\"\xff\"}", "{\"a\":[1,]}", "{\"a\":[}",
    "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
  };
  static const char *const nowhere[] = {
    "{\"type\":\"ready\"}", "{\"type\":\"ready\",\"remoteHost\":\"a\"}", "{\"type\":\"ready\",\"remotePort\":1}",
    "{\"type\":\"ready\",\"remoteHost\":1,\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"a\",\"remotePort\":\"1\"}",
    "{\"type\":\"ready\",\"remoteHost\":\"a\",\"remotePort\":0}", "{\"type\":\"ready\",\"remoteHost\":\"a\",\"remotePort\":65536}",
    "{\"type\":\"ready\",\"remoteHost\":\"a\",\"remotePort\":1.5}", "{\"type\":\"ready\",\"remoteHost\":\"a\",\"remotePort\":-1}",
    "{\"type\":\"ready\",\"remoteHost\":\"\",\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"-oProxyCommand=x\",\"remotePort\":1}",
    "{\"type\":\"ready\",\"remoteHost\":\"-h\",\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"a b\",\"remotePort\":1}",
    "{\"type\":\"ready\",\"remoteHost\":\"a\\n\",\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"$(x)\",\"remotePort\":1}",
    "{\"type\":\"ready\",\"remoteHost\":\"[::1]\",\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"::1%\",\"remotePort\":1}",
    "{\"type\":\"ready\",\"remoteHost\":\"::1%a b\",\"remotePort\":1}", "{\"type\":\"ready\",\"remoteHost\":\"a%b\",\"remotePort\":1}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (malformed); i++)
    assert_refused (malformed[i], strlen (malformed[i]), "no JSON object");
  assert_refused ("{\"type\":\"ready\"}\0{", 18, "no JSON object");
  for (guint i = 0; i < G_N_ELEMENTS (nowhere); i++)
    assert_refused (nowhere[i], strlen (nowhere[i]), "remoteHost");
  assert_refused ("{}", 2, "without a type");
  assert_refused ("{\"type\":1}", 10, "without a type");
  assert_refused ("{\"type\":\"start\"}", 16, "unknown type");
  assert_refused ("{\"type\":\"error\"}", 16, "what is wrong");
  assert_refused ("{\"type\":\"error\",\"message\":1}", 28, "what is wrong");
}

static void
test_format (void)
{
  g_autofree char *ready = tcp_reverse_message_format_ready ("::1", 57090);
  g_autofree char *error = tcp_reverse_message_format_error ("port \"1\" \\ is\nin use ü");

  g_assert_cmpstr (ready, ==, "{\"type\":\"ready\",\"remoteHost\":\"::1\",\"remotePort\":57090}");
  g_assert_cmpstr (error, ==, "{\"type\":\"error\",\"message\":\"port \\\"1\\\" \\\\ is\\u000ain use ü\"}");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reverse-message/ready", test_ready);
  g_test_add_func ("/reverse-message/hosts", test_hosts);
  g_test_add_func ("/reverse-message/error", test_error);
  g_test_add_func ("/reverse-message/refused", test_refused);
  g_test_add_func ("/reverse-message/format", test_format);
  return g_test_run ();
}
