/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/forwarded.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

/* The trusted proxies of these tests. */
static const char *const proxies[] = { "127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48", NULL };

#define F "Forwarded: "
#define X "X-Forwarded-For: "

/* Each line is one header, in the order of the request. */
typedef struct
{
  const char *client; /* nullable */
  const char *lines[4];
} Row;

static const Row rows[] = {
  /* No header, and headers without an address. */
  { NULL, { "Host: gateway" } },
  { NULL, { F "" } },
  { NULL, { X "" } },
  { NULL, { X " , ,, " } },
  { NULL, { F "proto=https;by=10.0.0.1" } },

  /* The forms of an address. */
  { "192.0.2.1", { F "for=192.0.2.1" } },
  { "192.0.2.1", { F "For=\"192.0.2.1:4711\"" } },
  { "192.0.2.1", { F "for=192.0.2.1:4711" } },
  { "192.0.2.1", { F "for=\"192.0.2.1:_http\"" } },
  { "2001:db8::1", { F "for=\"[2001:db8::1]\"" } },
  { "2001:db8::1", { F "for=\"[2001:DB8:0::1]:4711\"" } },
  { "192.0.2.1", { F "for=\"[::ffff:192.0.2.1]:80\"" } },
  { "192.0.2.1", { F "for=\"192\\.0.2.1\"" } },
  { "192.0.2.1", { X "192.0.2.1" } },
  { "192.0.2.1", { X "\t192.0.2.1:4711 " } },
  { "192.0.2.1", { X "::ffff:192.0.2.1" } },
  { "2001:db8::1", { X "2001:db8::1" } },
  { "2001:db8::1", { X "[2001:db8::1]" } },
  { "2001:db8::1", { X "[2001:db8::1]:4711" } },

  /* Other parameters, and spaces. */
  { "192.0.2.1", { F "proto=https ; for=192.0.2.1;; by=\"x;y,z\" ; host=\"a\\\"b\"" } },
  { "192.0.2.1", { F "  FOR=192.0.2.1  ,  " } },

  /* The rightmost address that is not trusted, whatever others have written to the left of it. */
  { "192.0.2.1", { X "198.51.100.1, 192.0.2.1" } },
  { "192.0.2.1", { X "198.51.100.1, 192.0.2.1, 10.1.2.3, 127.0.0.1" } },
  { "192.0.2.1", { X "198.51.100.1", X "192.0.2.1, 10.1.2.3", X "10.0.0.1" } },
  { "192.0.2.1", { F "for=198.51.100.1, for=192.0.2.1, for=10.1.2.3" } },
  { "192.0.2.1", { F "for=198.51.100.1", F "for=192.0.2.1", "x-other: 1", F "for=\"[2001:db8:ffff::1]:80\"" } },
  { "192.0.2.1", { X "for=1.2.3.4, ,192.0.2.1,," } },
  /* All are trusted: the farthest. */
  { "10.9.9.9", { X "10.9.9.9, 10.1.2.3" } },

  /* Where the address is hidden, what is to the left of it is not trustworthy. */
  { NULL, { F "for=unknown" } },
  { NULL, { F "for=198.51.100.1, for=unknown" } },
  { NULL, { F "for=198.51.100.1, for=_hidden" } },
  { NULL, { F "for=198.51.100.1, for=\"_SEVKISEK:4711\"" } },
  { NULL, { F "for=198.51.100.1, proto=https" } },
  { NULL, { X "198.51.100.1, unknown" } },
  { "10.1.2.3", { F "for=198.51.100.1, for=_hidden, for=10.1.2.3" } },

  /* Malformed headers. */
  { NULL, { F "for" } },
  { NULL, { F "for=" } },
  { NULL, { F "for=;proto=https" } },
  { NULL, { F "=192.0.2.1" } },
  { NULL, { F "for =192.0.2.1" } },
  { NULL, { F "for=192.0.2.1;for=192.0.2.2" } },
  { NULL, { F "for=192.0.2.256" } },
  { NULL, { F "for=192.0.2.1.5" } },
  { NULL, { F "for=3221225985" } },
  { NULL, { F "for=192.0.2.1:" } },
  { NULL, { F "for=\"192.0.2.1:80:90\"" } },
  { NULL, { F "for=\"[192.0.2.1]\"" } },
  { NULL, { F "for=\"[2001:db8::1\"" } },
  { NULL, { F "for=\"[2001:db8::1]x\"" } },
  { NULL, { F "for=\"192.0.2.1" } },
  { NULL, { F "for=\"192.0.2.1\\" } },
  { NULL, { F "for=\"192.0.2.1\"x" } },
  { NULL, { F "for=192.0.2.1 x" } },
  { NULL, { X "198.51.100.1, <script>" } },
  { NULL, { X "198.51.100.1, 192.0.2.1 198.51.100.2" } },
  { NULL, { X "\xff\xfe" } },

  /* A client sent a quote without its end, and the proxy appended its element to that. */
  { "192.0.2.1", { F "for=198.51.100.1;host=\", for=192.0.2.1" } },
  { "192.0.2.1", { F "for=198.51.100.1;host=\", for=192.0.2.1;by=\"_x\"" } },
  { "2001:db8::1", { F "for=198.51.100.1, for=\", for=\"[2001:db8::1]\"" } },
  { "10.1.2.3", { F "for=198.51.100.1, \", for=10.1.2.3" } },
  { "192.0.2.1", { F "for=\"", F "for=192.0.2.1" } },
  /* An element within quotes is not the proxy's. */
  { "192.0.2.1", { F "for=192.0.2.1;host=\"a, for=198.51.100.1\"" } },
  { NULL, { F "for=192.0.2.1;host=\"a, for=198.51.100.1;x=\\\"b\"" " c" } },

  /* Both headers. */
  { "192.0.2.1", { F "for=192.0.2.1", X "192.0.2.1" } },
  { "192.0.2.1", { F "\"", X "192.0.2.1" } },
  { "192.0.2.1", { F "for=192.0.2.1", X "?" } },
};

static SoupMessageHeaders *
make_headers (const Row *row)
{
  SoupMessageHeaders *headers = soup_message_headers_new (SOUP_MESSAGE_HEADERS_REQUEST);

  for (guint i = 0; i < G_N_ELEMENTS (row->lines) && row->lines[i] != NULL; i++)
    {
      const char *colon = strchr (row->lines[i], ':');
      g_autofree char *name = g_strndup (row->lines[i], colon - row->lines[i]);

      soup_message_headers_append (headers, name, colon + 2);
    }
  return headers;
}

static TcpNetworks *
trust (const char *const *texts)
{
  g_autoptr (GError) error = NULL;
  TcpNetworks *networks = tcp_networks_parse (texts, &error);

  g_assert_no_error (error);
  return networks;
}

static void
test_headers (void)
{
  g_autoptr (TcpNetworks) trusted = trust (proxies);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      SoupMessageHeaders *headers = make_headers (&rows[i]);
      g_autoptr (GInetAddress) client = NULL;
      g_autofree char *text = NULL;

      g_test_message ("row %u", i);
      g_assert_true (tcp_forwarded_find (headers, trusted, &client));
      text = client != NULL ? g_inet_address_to_string (client) : NULL;
      g_assert_cmpstr (text, ==, rows[i].client);
      soup_message_headers_unref (headers);
    }
}

/* If the two headers disagree, one of them comes from the client that sent the request to the proxy. */
static void
test_conflict (void)
{
  const Row row = { NULL, { F "for=198.51.100.1", X "192.0.2.1" } };
  g_autoptr (TcpNetworks) trusted = trust (proxies);
  SoupMessageHeaders *headers = make_headers (&row);
  g_autoptr (GInetAddress) client = NULL;

  g_assert_false (tcp_forwarded_find (headers, trusted, &client));
  g_assert_null (client);
  soup_message_headers_unref (headers);
}

/* A chain may be of any length. */
static void
test_long (void)
{
  g_autoptr (TcpNetworks) trusted = trust (proxies);
  SoupMessageHeaders *headers = soup_message_headers_new (SOUP_MESSAGE_HEADERS_REQUEST);
  g_autoptr (GInetAddress) client = NULL;
  g_autoptr (GString) chain = g_string_new ("192.0.2.1");
  g_autofree char *text = NULL;

  for (guint i = 0; i < 5000; i++)
    g_string_append_printf (chain, ", 10.0.%u.%u", i / 250, i % 250);
  soup_message_headers_append (headers, "X-Forwarded-For", chain->str);
  g_assert_true (tcp_forwarded_find (headers, trusted, &client));
  /* A long chain is not followed to its end. */
  text = g_inet_address_to_string (client);
  g_assert_true (g_str_has_prefix (text, "10.0."));
  soup_message_headers_unref (headers);
}

static gboolean
contain (const TcpNetworks *networks,
         const char        *text)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);
  g_autoptr (GInetAddress) normal = tcp_address_normalize (address);

  return tcp_networks_contain (networks, normal);
}

static void
test_networks (void)
{
  static const char *const wrong[] = { "", "proxy.example", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/8 ", "fd00::/129" };
  g_autoptr (TcpNetworks) some = trust (proxies);
  g_autoptr (TcpNetworks) none = trust (NULL);

  g_assert_true (contain (some, "127.0.0.1"));
  g_assert_false (contain (some, "127.0.0.2"));
  g_assert_true (contain (some, "10.255.0.1"));
  g_assert_false (contain (some, "11.0.0.0"));
  g_assert_true (contain (some, "::ffff:10.0.0.1"));
  g_assert_true (contain (some, "2001:db8:ffff::1"));
  g_assert_false (contain (some, "2001:db8:fffe::1"));
  g_assert_false (contain (none, "127.0.0.1"));

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      const char *const texts[] = { "127.0.0.1", wrong[i], NULL };
      g_autofree char *quoted = g_strdup_printf ("“%s”", wrong[i]);
      g_autoptr (GError) error = NULL;

      g_assert_null (tcp_networks_parse (texts, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, quoted));
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/forwarded/headers", test_headers);
  g_test_add_func ("/forwarded/conflict", test_conflict);
  g_test_add_func ("/forwarded/long", test_long);
  g_test_add_func ("/forwarded/networks", test_networks);
  return g_test_run ();
}
