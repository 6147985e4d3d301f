/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/certificate-facts.h"

#include <string.h>

/* GIO returns the host names of a certificate, but neither its e-mail addresses nor the parts of its subject. This file
 * reads only the part of RFC 5280 that leads to them, and verifies nothing: that is up to a GTlsDatabase. */

enum
{
  TAG_BOOLEAN = 0x01,
  TAG_INTEGER = 0x02,
  TAG_OCTETS = 0x04,
  TAG_OID = 0x06,
  TAG_UTF8 = 0x0c,
  TAG_PRINTABLE = 0x13,
  TAG_IA5 = 0x16,
  TAG_SEQUENCE = 0x30,
  TAG_SET = 0x31,

  /* of the certificate */
  TAG_VERSION = 0xa0,
  TAG_ISSUER_ID = 0x81,
  TAG_SUBJECT_ID = 0x82,
  TAG_EXTENSIONS = 0xa3,

  /* of a subject alternative name */
  TAG_MAIL = 0x81,
  TAG_DNS = 0x82,
};

static const guint8 oid_common_name[] = { 0x55, 0x04, 0x03 };
static const guint8 oid_alternative_name[] = { 0x55, 0x1d, 0x11 };
static const guint8 oid_key_usage[] = { 0x55, 0x1d, 0x25 };
static const guint8 oid_any_usage[] = { 0x55, 0x1d, 0x25, 0x00 };
static const guint8 oid_usage_of_clients[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02 };

/* The rest of the content of an element. */
typedef struct
{
  const guint8 *data;
  gsize left;
} Der;

static gboolean
der_skip (Der   *self,
          gsize  size)
{
  if (size > self->left)
    return FALSE;

  self->data += size;
  self->left -= size;
  return TRUE;
}

static gboolean
der_read_length (Der   *self,
                 gsize *length)
{
  guint n;

  if (self->left == 0)
    return FALSE;
  *length = *self->data;
  der_skip (self, 1);
  if (*length < 0x80)
    return TRUE;

  /* 0x80 is the indefinite length, which DER does not have. */
  n = *length & 0x7f;
  if (n == 0 || n > 4 || n > self->left)
    return FALSE;
  *length = 0;
  for (guint i = 0; i < n; i++)
    *length = *length << 8 | self->data[i];
  return der_skip (self, n);
}

/* Reads the next element. Tags of several bytes do not occur. */
static gboolean
der_next (Der    *self,
          guint8 *tag,
          Der    *content)
{
  gsize length;

  if (self->left == 0 || (*self->data & 0x1f) == 0x1f)
    return FALSE;
  *tag = *self->data;
  der_skip (self, 1);
  if (!der_read_length (self, &length))
    return FALSE;
  *content = (Der) { self->data, length };
  return der_skip (self, length);
}

static gboolean
der_enter (Der    *self,
           guint8  tag,
           Der    *content)
{
  guint8 found;

  return der_next (self, &found, content) && found == tag;
}

static gboolean
der_is_at (const Der *self,
           guint8     tag)
{
  return self->left > 0 && *self->data == tag;
}

/* Skips an element that is optional. FALSE only if it is malformed. */
static gboolean
der_pass (Der    *self,
          guint8  tag)
{
  Der content;

  return !der_is_at (self, tag) || der_enter (self, tag, &content);
}

#define der_equals(self, bytes) ((self)->left == sizeof (bytes) && memcmp ((self)->data, bytes, sizeof (bytes)) == 0)

/* A text that cannot be a name is left out, such as one with a zero byte: other code may read only as far as that. */
static void
add_name (GPtrArray *names,
          const Der *text)
{
  if (text->left > 0 && g_utf8_validate_len ((const char *) text->data, text->left, NULL))
    g_ptr_array_add (names, g_strndup ((const char *) text->data, text->left));
}

/* If there are several common names, none is used, since it is not defined which one counts. */
static gboolean
read_subject (Der        subject,
              GPtrArray *names)
{
  Der set, pair, oid, value, found = { NULL, 0 };
  guint8 tag;
  guint n = 0;

  while (subject.left > 0)
    {
      if (!der_enter (&subject, TAG_SET, &set))
        return FALSE;
      while (set.left > 0)
        {
          if (!der_enter (&set, TAG_SEQUENCE, &pair) || !der_enter (&pair, TAG_OID, &oid) || !der_next (&pair, &tag, &value))
            return FALSE;
          if (!der_equals (&oid, oid_common_name))
            continue;
          n++;
          if (tag == TAG_UTF8 || tag == TAG_PRINTABLE || tag == TAG_IA5)
            found = value;
        }
    }

  if (n == 1)
    add_name (names, &found);
  return TRUE;
}

static gboolean
read_alternatives (Der        value,
                   GPtrArray *names,
                   gboolean  *has_any)
{
  Der list, name;
  guint8 tag;

  if (!der_enter (&value, TAG_SEQUENCE, &list))
    return FALSE;
  while (list.left > 0)
    {
      if (!der_next (&list, &tag, &name))
        return FALSE;
      if (tag != TAG_MAIL && tag != TAG_DNS)
        continue;
      *has_any = TRUE;
      add_name (names, &name);
    }
  return TRUE;
}

static gboolean
read_key_usage (Der       value,
                gboolean *is_for_clients)
{
  Der list, usage;

  *is_for_clients = FALSE;
  if (!der_enter (&value, TAG_SEQUENCE, &list))
    return FALSE;
  while (list.left > 0)
    {
      if (!der_enter (&list, TAG_OID, &usage))
        return FALSE;
      if (der_equals (&usage, oid_usage_of_clients) || der_equals (&usage, oid_any_usage))
        *is_for_clients = TRUE;
    }
  return TRUE;
}

/* Each of these extensions may occur only once. */
static gboolean
read_extensions (Der        wrapper,
                 GPtrArray *names,
                 gboolean  *has_any,
                 gboolean  *is_for_clients)
{
  Der list, extension, oid, value;
  guint n_names = 0;
  guint n_usages = 0;

  if (!der_enter (&wrapper, TAG_SEQUENCE, &list))
    return FALSE;
  while (list.left > 0)
    {
      if (!der_enter (&list, TAG_SEQUENCE, &extension) || !der_enter (&extension, TAG_OID, &oid) ||
          !der_pass (&extension, TAG_BOOLEAN) || !der_enter (&extension, TAG_OCTETS, &value))
        return FALSE;
      if (der_equals (&oid, oid_alternative_name) && (++n_names > 1 || !read_alternatives (value, names, has_any)))
        return FALSE;
      if (der_equals (&oid, oid_key_usage) && (++n_usages > 1 || !read_key_usage (value, is_for_clients)))
        return FALSE;
    }
  return TRUE;
}

/* FALSE if the certificate is malformed. */
gboolean
tcp_certificate_read_facts (const guint8        *der,
                            gsize                length,
                            TcpCertificateFacts *facts)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  Der file = { der, length };
  Der certificate, body, subject, skipped;
  gboolean has_alternatives = FALSE;
  gboolean is_for_clients = TRUE;

  if (!der_enter (&file, TAG_SEQUENCE, &certificate) || !der_enter (&certificate, TAG_SEQUENCE, &body) ||
      !der_pass (&body, TAG_VERSION) ||
      !der_enter (&body, TAG_INTEGER, &skipped) || /* serial number */
      !der_enter (&body, TAG_SEQUENCE, &skipped) || /* signature */
      !der_enter (&body, TAG_SEQUENCE, &skipped) || /* issuer */
      !der_enter (&body, TAG_SEQUENCE, &skipped) || /* validity */
      !der_enter (&body, TAG_SEQUENCE, &subject) ||
      !der_enter (&body, TAG_SEQUENCE, &skipped) || /* key */
      !der_pass (&body, TAG_ISSUER_ID) || !der_pass (&body, TAG_SUBJECT_ID))
    return FALSE;
  if (der_is_at (&body, TAG_EXTENSIONS) &&
      (!der_enter (&body, TAG_EXTENSIONS, &skipped) ||
       !read_extensions (skipped, names, &has_alternatives, &is_for_clients)))
    return FALSE;
  if (!has_alternatives && !read_subject (subject, names))
    return FALSE;

  g_ptr_array_add (names, NULL);
  facts->names = (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
  facts->is_for_clients = is_for_clients;
  return TRUE;
}
