/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/reverse-message.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/host-port.h"
#include "base/text.h"

/* The maximum depth of values that are skipped. */
#define MAX_DEPTH 16

#define QUOTE '\x22'

/* JSON, of which only the members of the outermost object are used. */
typedef struct
{
  const char *at; /* ends with 0 */
} Scanner;

typedef enum
{
  VALUE_OTHER,
  VALUE_STRING,
  VALUE_NUMBER,
} ValueKind;

typedef struct
{
  ValueKind kind;
  char *string;
  double number;
} Value;

static void
value_clear (gpointer data)
{
  g_clear_pointer (&((Value *) data)->string, g_free);
}

static void
value_free (gpointer data)
{
  value_clear (data);
  g_free (data);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Value, value_clear)

static void
scan_space (Scanner *self)
{
  self->at += strspn (self->at, " \t\r\n");
}

/* Also skips the space behind it. */
static gboolean
scan_character (Scanner *self,
                char     wanted)
{
  if (*self->at != wanted)
    return FALSE;

  self->at++;
  scan_space (self);
  return TRUE;
}

static gboolean
scan_hex (Scanner *self,
          guint32 *unit)
{
  *unit = 0;
  for (guint i = 0; i < 4; i++)
    {
      if (!g_ascii_isxdigit (*self->at))
        return FALSE;
      *unit = *unit << 4 | g_ascii_xdigit_value (*self->at++);
    }
  return TRUE;
}

/* Called behind the backslash. Unpaired surrogates, and 0, which would end the string, are replaced. */
static gboolean
scan_escape (Scanner *self,
             GString *string)
{
  static const char from[] = "\"\\/bfnrt";
  static const char to[] = "\"\\/\b\f\n\r\t";
  const char *known = *self->at != '\0' ? strchr (from, *self->at) : NULL;
  guint32 unit;
  guint32 low;

  if (known != NULL)
    {
      self->at++;
      g_string_append_c (string, to[known - from]);
      return TRUE;
    }
  if (*self->at != 'u')
    return FALSE;
  self->at++;
  if (!scan_hex (self, &unit))
    return FALSE;

  if (unit >= 0xd800 && unit < 0xdc00 && g_str_has_prefix (self->at, "\\u"))
    {
      self->at += 2;
      if (!scan_hex (self, &low))
        return FALSE;
      unit = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
    }
  g_string_append_unichar (string, unit == 0 || (unit >= 0xd800 && unit < 0xe000) ? 0xfffd : unit);
  return TRUE;
}

static char *
scan_string (Scanner *self)
{
  g_autoptr (GString) string = g_string_new (NULL);

  if (*self->at != QUOTE)
    return NULL;
  self->at++;
  while (*self->at != QUOTE)
    {
      if ((guint8) *self->at < ' ')
        return NULL;
      if (*self->at != '\\')
        {
          g_string_append_c (string, *self->at++);
          continue;
        }
      self->at++;
      if (!scan_escape (self, string))
        return NULL;
    }
  self->at++;
  scan_space (self);
  return g_string_free (g_steal_pointer (&string), FALSE);
}

/* Checked first, since strtod () accepts more than the numbers of JSON. */
static gboolean
scan_number (Scanner *self,
             double  *number)
{
  const char *digits = *self->at == '-' ? self->at + 1 : self->at;
  char *end;

  if (!g_ascii_isdigit (*digits) || (*digits == '0' && g_ascii_isalnum (digits[1])))
    return FALSE;
  *number = g_ascii_strtod (self->at, &end);
  self->at = end;
  scan_space (self);
  return TRUE;
}

static gboolean
scan_word (Scanner *self)
{
  static const char *const words[] = { "true", "false", "null" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_str_has_prefix (self->at, words[i]))
      {
        self->at += strlen (words[i]);
        scan_space (self);
        return TRUE;
      }
  return FALSE;
}

static gboolean scan_members (Scanner    *self,
                              guint       depth,
                              char        closing,
                              GHashTable *members);

static gboolean
scan_value (Scanner *self,
            guint    depth,
            Value   *value)
{
  switch (*self->at)
    {
    case QUOTE:
      value->kind = VALUE_STRING;
      value->string = scan_string (self);
      return value->string != NULL;
    case '{':
    case '[':
      return depth < MAX_DEPTH && scan_members (self, depth + 1, *self->at == '{' ? '}' : ']', NULL);
    default:
      if (scan_word (self))
        return TRUE;
      value->kind = VALUE_NUMBER;
      return scan_number (self, &value->number);
    }
}

/* Scans the content of brackets. @members, of char * and Value *, may be NULL. */
static gboolean
scan_members (Scanner    *self,
              guint       depth,
              char        closing,
              GHashTable *members)
{
  self->at++;
  scan_space (self);
  if (scan_character (self, closing))
    return TRUE;

  do
    {
      g_autofree char *name = closing == '}' ? scan_string (self) : NULL;
      g_auto (Value) value = { 0 };

      if (closing == '}' && (name == NULL || !scan_character (self, ':')))
        return FALSE;
      if (!scan_value (self, depth, &value))
        return FALSE;
      if (members != NULL)
        {
          g_hash_table_replace (members, g_steal_pointer (&name), g_memdup2 (&value, sizeof (Value)));
          value.string = NULL;
        }
    }
  while (scan_character (self, ','));

  return scan_character (self, closing);
}

static GHashTable *
parse_object (const char *text)
{
  g_autoptr (GHashTable) members = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, value_free);
  Scanner scanner = { text };

  scan_space (&scanner);
  if (*scanner.at != '{' || !scan_members (&scanner, 0, '}', members) || *scanner.at != '\0')
    return NULL;
  return g_steal_pointer (&members);
}

static const char *
get_string (GHashTable *members,
            const char *name)
{
  const Value *value = g_hash_table_lookup (members, name);

  return value != NULL && value->kind == VALUE_STRING ? value->string : NULL;
}

/* 0 if there is no valid port. */
static guint16
get_port (GHashTable *members,
          const char *name)
{
  const Value *value = g_hash_table_lookup (members, name);

  if (value == NULL || value->kind != VALUE_NUMBER || !(value->number >= 1 && value->number <= G_MAXUINT16) ||
      value->number != (guint16) value->number)
    return 0;
  return value->number;
}

static gboolean
refuse (GError     **error,
        const char  *what,
        const char  *text,
        gsize        length)
{
  g_autofree char *shown = tcp_text_from_peer (text, length);

  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, "%s: %s", what, shown);
  return FALSE;
}

/* FALSE if it is neither of the two messages. */
gboolean
tcp_reverse_message_parse (const char         *text,
                           gsize               length,
                           TcpReverseMessage  *message,
                           GError            **error)
{
  g_autofree char *copy = g_strndup (text, length);
  g_autoptr (GHashTable) members = NULL;
  const char *type;
  const char *host;

  *message = (TcpReverseMessage) { 0 };
  /* A C string would end early if the text contained a 0. */
  if (strlen (copy) == length && g_utf8_validate_len (copy, length, NULL))
    members = parse_object (copy);
  if (members == NULL)
    return refuse (error, "a control message that is no JSON object", text, length);

  type = get_string (members, "type");
  if (type == NULL)
    return refuse (error, "a control message without a type", text, length);
  if (strcmp (type, "error") == 0)
    {
      const char *reason = get_string (members, "message");

      if (reason == NULL)
        return refuse (error, "an error message that does not say what is wrong", text, length);
      message->refusal = tcp_text_from_peer (reason, strlen (reason));
      return TRUE;
    }
  if (strcmp (type, "ready") != 0)
    return refuse (error, "a control message of an unknown type", text, length);

  host = get_string (members, "remoteHost");
  message->port = get_port (members, "remotePort");
  /* The host may be passed to programs of the user. */
  if (host == NULL || !tcp_host_is_harmless (host) || message->port == 0)
    return refuse (error, "a ready message without a valid remoteHost and remotePort", text, length);
  message->host = g_strdup (host);
  return TRUE;
}

void
tcp_reverse_message_clear (TcpReverseMessage *self)
{
  g_clear_pointer (&self->host, g_free);
  g_clear_pointer (&self->refusal, g_free);
}

static void
append_string (GString    *json,
               const char *text)
{
  g_string_append_c (json, QUOTE);
  for (const char *c = text; *c != '\0'; c++)
    {
      if (*c == QUOTE || *c == '\\')
        g_string_append_printf (json, "\\%c", *c);
      else if ((guint8) *c < ' ')
        g_string_append_printf (json, "\\u%04x", *c);
      else
        g_string_append_c (json, *c);
    }
  g_string_append_c (json, QUOTE);
}

char *
tcp_reverse_message_format_ready (const char *host,
                                  guint16     port)
{
  GString *json = g_string_new ("{\"type\":\"ready\",\"remoteHost\":");

  append_string (json, host);
  g_string_append_printf (json, ",\"remotePort\":%u}", port);
  return g_string_free (json, FALSE);
}

char *
tcp_reverse_message_format_error (const char *reason)
{
  GString *json = g_string_new ("{\"type\":\"error\",\"message\":");

  append_string (json, reason);
  g_string_append_c (json, '}');
  return g_string_free (json, FALSE);
}
