/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "certificate.h"

#include <glib/gstdio.h>
#include <stdlib.h>

static char *directory;
static char *key_path;
static char *certificate_path;
static GTlsCertificate *certificate;
static GTlsDatabase *database;

/* Not before the end: the database reads its file again for each use. */
static void
clean_up (void)
{
  g_clear_object (&certificate);
  g_clear_object (&database);
  g_unlink (key_path);
  g_unlink (certificate_path);
  g_rmdir (directory);
  g_clear_pointer (&key_path, g_free);
  g_clear_pointer (&certificate_path, g_free);
  g_clear_pointer (&directory, g_free);
}

static void
make_certificate (void)
{
  const char *argv[] = {
    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=libtcptunnel test",
    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key_path, "-out", certificate_path, NULL,
  };
  g_autoptr (GError) error = NULL;
  int status = 0;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
}

static void
load (void)
{
  g_autoptr (GError) error = NULL;

  if (certificate != NULL)
    return;

  directory = g_dir_make_tmp ("tcptunnel-test-XXXXXX", &error);
  g_assert_no_error (error);
  key_path = g_build_filename (directory, "key.pem", NULL);
  certificate_path = g_build_filename (directory, "certificate.pem", NULL);
  atexit (clean_up);
  make_certificate ();

  certificate = g_tls_certificate_new_from_files (certificate_path, key_path, &error);
  g_assert_no_error (error);
  database = g_tls_file_database_new (certificate_path, &error);
  g_assert_no_error (error);
}

GTlsCertificate *
test_certificate (void)
{
  load ();
  return certificate;
}

GTlsDatabase *
test_tls_database (void)
{
  load ();
  return database;
}
