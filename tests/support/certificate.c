/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "certificate.h"

#include <glib/gstdio.h>
#include <stdlib.h>

static char *directory;
static char *key_path;
static char *certificate_path;
static GTlsCertificate *certificate;
static GTlsDatabase *database;

/* Not earlier, since the database reads its file again for each use. */
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
run_openssl (const char *const *argv)
{
  g_autoptr (GError) error = NULL;
  int status = 0;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
}

static void
make_certificate (void)
{
  const char *argv[] = {
    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=libtcptunnel test",
    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key_path, "-out", certificate_path, NULL,
  };

  run_openssl (argv);
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

static char *
put_file (const char *parent,
          const char *name,
          const char *text)
{
  char *path = g_build_filename (parent, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return path;
}

static void
remove_directory (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      g_unlink (file);
    }
  g_rmdir (path);
}

/* The result contains the key too. Of the commands of openssl, only "ca" accepts dates in all versions. */
char *
test_certificate_issue_pem (const char *subject,
                            const char *extensions,
                            const char *from,
                            const char *to)
{
  g_autoptr (GError) error = NULL;
  GTlsCertificate *first G_GNUC_UNUSED = test_certificate ();
  g_autofree char *place = g_dir_make_tmp ("tcptunnel-test-XXXXXX", &error);
  g_autofree char *key = g_build_filename (place, "key.pem", NULL);
  g_autofree char *request = g_build_filename (place, "request.pem", NULL);
  g_autofree char *issued = g_build_filename (place, "certificate.pem", NULL);
  g_autofree char *index = put_file (place, "index", "");
  g_autofree char *text = g_strdup_printf ("[ca]\ndefault_ca = this\n[this]\ndatabase = %s\nnew_certs_dir = %s\n"
                                           "rand_serial = yes\ndefault_md = sha256\npolicy = any\nx509_extensions = more\n"
                                           "preserve = yes\n[any]\ncommonName = optional\n[more]\n%s\n",
                                           index, place, extensions != NULL ? extensions : "");
  g_autofree char *config = put_file (place, "config", text);
  const char *ask[] = { "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject, "-utf8", "-multivalue-rdn",
                        "-keyout", key, "-out", request, NULL };
  const char *sign[] = { "openssl", "ca", "-batch", "-notext", "-config", config, "-in", request, "-out", issued,
                         "-startdate", from, "-enddate", to, "-cert", certificate_path, "-keyfile", key_path, NULL };
  g_autofree char *key_pem = NULL;
  g_autofree char *certificate_pem = NULL;

  run_openssl (ask);
  run_openssl (sign);
  g_file_get_contents (key, &key_pem, NULL, &error);
  g_assert_no_error (error);
  g_file_get_contents (issued, &certificate_pem, NULL, &error);
  g_assert_no_error (error);
  remove_directory (place);
  return g_strconcat (certificate_pem, key_pem, NULL);
}

GTlsCertificate *
test_certificate_issue_client (const char *subject,
                               const char *extensions,
                               const char *from,
                               const char *to)
{
  g_autofree char *pem = test_certificate_issue_pem (subject, extensions, from, to);
  g_autoptr (GError) error = NULL;
  GTlsCertificate *result = g_tls_certificate_new_from_pem (pem, -1, &error);

  g_assert_no_error (error);
  return result;
}

GTlsCertificate *
test_certificate_issue (const char *names,
                        const char *from,
                        const char *to)
{
  g_autofree char *line = names != NULL ? g_strconcat ("subjectAltName = ", names, NULL) : NULL;

  return test_certificate_issue_client ("/CN=gateway", line, from, to);
}
