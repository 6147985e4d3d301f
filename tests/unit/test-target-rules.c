/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/target-rules.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

static void
test_table (void)
{
  static const struct
  {
    const char *pattern;
    const char *target;
    gboolean allowed;
  } cases[] = {
    /* Names */
    { "db.lab:5432", "db.lab:5432", TRUE },
    { "db.lab:5432", "DB.Lab:5432", TRUE },
    { "DB.LAB:5432", "db.lab:5432", TRUE },
    { "db.lab:5432", "db.lab:5433", FALSE },
    { "db.lab:5432", "xdb.lab:5432", FALSE },
    { "db.lab:5432", "db.lab.evil:5432", FALSE },
    { "db.lab:5432", "db-lab:5432", FALSE },
    { "db.lab:5432", "db.lab.:5432", FALSE },
    { "localhost:22", "127.0.0.1:22", FALSE },
    { "a_b.lab:1", "a_b.lab:1", TRUE },
    { "xn--bcher-kva.example:80", "xn--bcher-kva.example:80", TRUE },
    /* Names below another */
    { "*.lab:5432", "db.lab:5432", TRUE },
    { "*.lab:5432", "a.b.lab:5432", TRUE },
    { "*.lab:5432", "DB.LAB:5432", TRUE },
    { "*.lab:5432", "lab:5432", FALSE },
    { "*.lab:5432", ".lab:5432", FALSE },
    { "*.lab:5432", "xlab:5432", FALSE },
    { "*.lab:5432", "db.lab.evil:5432", FALSE },
    { "*.lab:5432", "db.lab:22", FALSE },
    { "*.lab:5432", "evil:5432#.lab:5432", FALSE },
    { "*.lab:5432", "evil:80@db.lab:5432", FALSE },
    { "*.lab:5432", "evil/.lab:5432", FALSE },
    { "*.lab:5432", "evil%00.lab:5432", FALSE },
    { "*.lab:5432", "ev il.lab:5432", FALSE },
    { "*.lab:5432", "evil\n.lab:5432", FALSE },
    { "*.lab:5432", "-a.lab:5432", FALSE },
    { "*.lab:5432", "a-.lab:5432", FALSE },
    { "*.lab:5432", "a..lab:5432", FALSE },
    { "*.1:22", "10.0.0.1:22", FALSE },
    /* Ports */
    { "db:8000-8099", "db:8000", TRUE },
    { "db:8000-8099", "db:8099", TRUE },
    { "db:8000-8099", "db:7999", FALSE },
    { "db:8000-8099", "db:8100", FALSE },
    { "db:80-80", "db:80", TRUE },
    { "db:*", "db:1", TRUE },
    { "db:*", "db:65535", TRUE },
    { "db:*", "db:0", FALSE },
    { "db:*", "db:65536", FALSE },
    { "db:*", "db:4294967318", FALSE },
    { "db:*", "db:022", FALSE },
    { "db:*", "db:+22", FALSE },
    { "db:*", "db:-22", FALSE },
    { "db:*", "db: 22", FALSE },
    { "db:*", "db:22 ", FALSE },
    { "db:*", "db:0x16", FALSE },
    { "db:*", "db:ssh", FALSE },
    { "db:*", "db:*", FALSE },
    { "db:*", "db:", FALSE },
    { "db:*", "db", FALSE },
    { "db:*", "", FALSE },
    { "db:*", ":22", FALSE },
    /* Addresses of IPv4 */
    { "127.0.0.1:*", "127.0.0.1:22", TRUE },
    { "127.0.0.1:*", "127.0.0.2:22", FALSE },
    { "127.0.0.1:*", "localhost:22", FALSE },
    { "127.0.0.1:*", "127.1:22", FALSE },
    { "127.0.0.1:*", "127.0.0.01:22", FALSE },
    { "127.0.0.1:*", "0177.0.0.1:22", FALSE },
    { "127.0.0.1:*", "0x7f.0.0.1:22", FALSE },
    { "127.0.0.1:*", "0x7f000001:22", FALSE },
    { "127.0.0.1:*", "2130706433:22", FALSE },
    { "127.0.0.1:*", "017700000001:22", FALSE },
    { "127.0.0.1:*", "127.0.0.1.:22", FALSE },
    { "127.0.0.1:*", "[127.0.0.1]:22", FALSE },
    { "127.0.0.1:*", "[::ffff:127.0.0.1]:22", FALSE },
    { "127.0.0.1:*", "[::ffff:7f00:1]:22", FALSE },
    { "127.0.0.1:*", "[::127.0.0.1]:22", FALSE },
    /* Addresses of IPv6 */
    { "[::1]:*", "[::1]:22", TRUE },
    { "[::1]:*", "::1:22", FALSE },
    { "[::1]:*", "[0:0:0:0:0:0:0:1]:22", FALSE },
    { "[::1]:*", "[::0001]:22", FALSE },
    { "[::1]:*", "[::1%lo]:22", FALSE },
    { "[::1]:*", "[::1%25lo]:22", FALSE },
    { "[::1]:*", "[::2]:22", FALSE },
    { "[fd00::a]:5432", "[fd00::a]:5432", TRUE },
    { "[fd00::a]:5432", "[FD00::A]:5432", FALSE },
    { "[fd00::a]:5432", "[fd00:0::a]:5432", FALSE },
    { "[fd00::a]:5432", "[fd00::a]5432", FALSE },
    /* Any host, if it is well-formed */
    { "*:22", "db.lab:22", TRUE },
    { "*:22", "10.0.0.1:22", TRUE },
    { "*:22", "[::1]:22", TRUE },
    { "*:22", "db.lab:23", FALSE },
    { "*:22", "0x7f.1:22", FALSE },
    { "*:22", "[::ffff:10.0.0.1]:22", FALSE },
    { "*:22", "1:22", FALSE },
    { "*:22", "\xef\xbd\x8c\xef\xbd\x8f:22", FALSE },
    { "*:22", "b\xc3\xbc" "cher.example:22", FALSE },
    { "*:*", "*:22", FALSE },
    /* Networks */
    { "10.0.0.0/8:22", "10.1.2.3:22", TRUE },
    { "10.0.0.0/8:22", "10.1.2.3:23", FALSE },
    { "10.0.0.0/8:22", "11.1.2.3:22", FALSE },
    { "10.0.0.0/8:22", "ten.lab:22", FALSE },
    { "[fd00::/8]:22", "[fd12::1]:22", TRUE },
    { "[fd00::/8]:22", "[fe80::1]:22", FALSE },
    { "*:*", "/run/socket:22", FALSE },
    { "*:*", "http://db:22", FALSE },
    { "*:*", "db:22\n", FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const char *const patterns[] = { cases[i].pattern, NULL };
      g_autoptr (GError) error = NULL;
      g_autoptr (TcpTargetRules) rules = tcp_target_rules_new (patterns, &error);

      g_test_message ("%s %s", cases[i].pattern, cases[i].target);
      /* A pattern that is invalid allows nothing either. */
      if (strcmp (cases[i].pattern, "*.1:22") == 0)
        {
          g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
          continue;
        }
      g_assert_no_error (error);
      g_assert_cmpint (tcp_target_rules_allow (rules, cases[i].target), ==, cases[i].allowed);
    }
}

static void
test_several (void)
{
  static const char *const patterns[] = { "a:1", "*.b:2-3", "10.0.0.1:4", NULL };
  g_autoptr (TcpTargetRules) rules = tcp_target_rules_new (patterns, NULL);
  g_autoptr (TcpTargetRules) none = tcp_target_rules_new (NULL, NULL);

  g_assert_true (tcp_target_rules_allow (rules, "a:1"));
  g_assert_true (tcp_target_rules_allow (rules, "x.b:3"));
  g_assert_true (tcp_target_rules_allow (rules, "10.0.0.1:4"));
  g_assert_false (tcp_target_rules_allow (rules, "a:2"));
  g_assert_false (tcp_target_rules_allow (rules, "x.b:4"));
  g_assert_false (tcp_target_rules_allow (none, "a:1"));
}

/* The addresses that a name may lead to. */
static void
test_addresses (void)
{
  static const struct
  {
    const char *pattern;
    const char *address;
    gboolean allowed;
  } cases[] = {
    { "*:*", "10.0.0.1", TRUE },
    { "*:*", "2001:db8::1", TRUE },
    { "db.lab:*", "10.0.0.1", TRUE },
    { "*:*", "127.0.0.1", FALSE },
    { "*:*", "127.8.9.10", FALSE },
    { "*:*", "::1", FALSE },
    { "*:*", "::ffff:127.0.0.1", FALSE },
    { "*:*", "0.0.0.0", FALSE },
    { "*:*", "::", FALSE },
    { "*:*", "169.254.169.254", FALSE },
    { "*:*", "::ffff:169.254.169.254", FALSE },
    { "*:*", "fe80::1", FALSE },
    { "*:*", "fd00:ec2::254", FALSE },
    { "*:*", "224.0.0.1", FALSE },
    { "*:*", "ff02::1", FALSE },
    { "localhost:*", "127.0.0.1", FALSE },
    { "127.0.0.1:22", "127.0.0.1", TRUE },
    { "127.0.0.1:22", "::ffff:127.0.0.1", TRUE },
    { "127.0.0.1:23", "127.0.0.1", FALSE },
    { "127.0.0.1:22", "127.0.0.2", FALSE },
    { "127.0.0.0/8:22", "127.0.0.2", TRUE },
    { "169.254.0.0/16:22", "169.254.169.254", TRUE },
    { "0.0.0.0/0:22", "10.0.0.1", TRUE },
    { "0.0.0.0/0:22", "127.0.0.1", FALSE },
    { "0.0.0.0/1:22", "127.0.0.1", FALSE },
    { "0.0.0.0/0:22", "0.0.0.0", FALSE },
    { "0.0.0.0/32:22", "0.0.0.0", TRUE },
    { "128.0.0.0/1:22", "169.254.169.254", FALSE },
    { "100.64.0.0/10:22", "100.100.100.200", FALSE },
    { "100.100.100.200:22", "100.100.100.200", TRUE },
    { "[::/0]:22", "::1", FALSE },
    { "[::/0]:22", "2001:db8::1", TRUE },
    { "[fd00::/8]:22", "fd00:ec2::254", FALSE },
    { "[::1]:22", "::1", TRUE },
    { "[fe80::/10]:*", "fe80::1", TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const char *const patterns[] = { cases[i].pattern, NULL };
      g_autoptr (TcpTargetRules) rules = tcp_target_rules_new (patterns, NULL);
      g_autoptr (GInetAddress) address = g_inet_address_new_from_string (cases[i].address);

      g_test_message ("%s: %s", cases[i].pattern, cases[i].address);
      g_assert_cmpint (tcp_target_rules_allow_address (rules, address, 22), ==, cases[i].allowed);
    }
}

static void
test_long (void)
{
  static const char *const patterns[] = { "*:*", NULL };
  g_autoptr (TcpTargetRules) rules = tcp_target_rules_new (patterns, NULL);
  g_autofree char *label = g_strnfill (63, 'a');
  g_autofree char *long_label = g_strnfill (64, 'a');
  g_autofree char *name = g_strdup_printf ("%s.%s.%s.%.61s:22", label, label, label, label);
  g_autofree char *long_name = g_strdup_printf ("%s.%s.%s.%.62s:22", label, label, label, label);
  g_autofree char *one_label = g_strdup_printf ("%s:22", label);
  g_autofree char *one_long_label = g_strdup_printf ("%s:22", long_label);
  g_autofree char *huge = g_strnfill (100000, '.');

  g_assert_true (tcp_target_rules_allow (rules, name));
  g_assert_false (tcp_target_rules_allow (rules, long_name));
  g_assert_true (tcp_target_rules_allow (rules, one_label));
  g_assert_false (tcp_target_rules_allow (rules, one_long_label));
  g_assert_false (tcp_target_rules_allow (rules, huge));
}

static void
test_patterns_refused (void)
{
  static const char *const bad[] = {
    "", ":", "-db", "d b", "..", "_db", "db/", "db:", ":22", "db:0", "db:65536", "db:1-", "db:-1", "db:2-1", "db:1-2-3", "db:1,2", "**:22", "*db:22",
    "*.:22", "*.*:22", "a.*.b:22", "*.10.0.0.1:22", "*.[::1]:22", "::1:22", "[::1:22", "127.1:22", "010.0.0.1:22",
    "[::ffff:10.0.0.1]:22", "[FD00::1]:22", "10.0.0.1/8:22", "10.0.0.0/33:22", "fd00::/8:22", "[10.0.0.0/8]:22", "[fd00::/8:22", "a/8:22", "/:22", "b\303\274cher:22", "db :22", "db.:22",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const char *const patterns[] = { "good:1", bad[i], NULL };
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", bad[i]);
      g_assert_null (tcp_target_rules_new (patterns, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/target-rules/table", test_table);
  g_test_add_func ("/target-rules/several", test_several);
  g_test_add_func ("/target-rules/addresses", test_addresses);
  g_test_add_func ("/target-rules/long", test_long);
  g_test_add_func ("/target-rules/patterns-refused", test_patterns_refused);
  return g_test_run ();
}
