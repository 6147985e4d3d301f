/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/check-report.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/view.h"

enum
{
  COLUMNS = 79, /* of a line, whatever the width of the terminal: it may be copied into a report */
  LABEL = 10,   /* of the name of a step */
  INDENT = LABEL + 4,
};

struct _CheckReport
{
  gboolean json;
  JsonArray *steps;
  gboolean found[N_STEPS];
  gboolean failed;
  int code;     /* the errno of a failure to write to stdout */
  ViewRow *row; /* of the current step */
};

static const struct
{
  const char *label;
  const char *nick; /* in JSON */
} steps[N_STEPS] = {
  [STEP_URL] = { "URL", "url" },
  [STEP_NAME] = { N_("Name"), "name" },
  [STEP_PROXY] = { N_("Proxy"), "proxy" },
  [STEP_TCP] = { "TCP", "tcp" },
  [STEP_TLS] = { "TLS", "tls" },
  [STEP_HTTP] = { "HTTP", "http" },
  [STEP_TOKEN] = { N_("Token"), "token" },
  [STEP_PROTOCOL] = { N_("Protocol"), "protocol" },
  [STEP_ROUND_TRIP] = { N_("Round trip"), "round-trip" },
};

static const struct
{
  const char *mark;
  const char *ascii_mark;
  ViewStyle style;
  const char *nick;
} results[] = {
  [FINDING_OK] = { "✓", "+", VIEW_GREEN, "ok" },
  [FINDING_FAILED] = { "✗", "x", VIEW_RED, "failed" },
  [FINDING_SKIPPED] = { "–", "-", VIEW_DIM, "skipped" },
};

/* Findings */

Finding *
finding_new (Step step)
{
  Finding *self = g_new0 (Finding, 1);

  self->step = step;
  self->notes = g_ptr_array_new_with_free_func (g_free);
  self->values = json_object_new ();
  return self;
}

void
finding_free (Finding *self)
{
  json_object_unref (self->values);
  g_ptr_array_unref (self->notes);
  g_free (self->detail);
  g_free (self->advice);
  g_free (self);
}

void
finding_set (Finding       *self,
             FindingResult  result,
             const char    *format,
             ...)
{
  va_list args;

  self->result = result;
  g_free (self->detail);
  va_start (args, format);
  self->detail = g_strdup_vprintf (format, args);
  va_end (args);
}

void
finding_add_note (Finding    *self,
                  const char *format,
                  ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (self->notes, g_strdup_vprintf (format, args));
  va_end (args);
}

/* As lines */

/* Returns how many bytes of @text fit on one line of @columns columns. Only a word that is too long by itself is
 * broken. */
static gsize
fit_line (const char *text,
          gsize       columns)
{
  gsize length = view_fit (text, columns);
  gsize end = length;

  if (text[length] == '\0' || text[length] == ' ')
    return length;
  while (end > 0 && text[end - 1] != ' ')
    end--;
  while (end > 0 && text[end - 1] == ' ')
    end--;
  return end > 0 ? end : MAX (length, 1);
}

/* Appends @text; every line but the first begins with @indent spaces. */
static void
append_wrapped (GString    *lines,
                const char *text,
                gsize       indent)
{
  gsize length = fit_line (text, COLUMNS - indent);

  g_string_append_len (lines, text, length);
  g_string_append_c (lines, '\n');
  for (text += length + strspn (text + length, " "); *text != '\0'; text += length + strspn (text + length, " "))
    {
      length = fit_line (text, COLUMNS - indent);
      g_string_append_printf (lines, "%*s%.*s\n", (int) indent, "", (int) length, text);
    }
}

static char *
format_finding (const Finding *finding)
{
  const char *mark = view_is_unicode () ? results[finding->result].mark : results[finding->result].ascii_mark;
  g_autofree char *label = view_pad (_(steps[finding->step].label), LABEL);
  GString *lines = g_string_new (NULL);

  g_string_append_printf (lines, "%s%s%s %s  ", view_style (stdout, results[finding->result].style), mark,
                          view_style (stdout, VIEW_PLAIN), label);
  append_wrapped (lines, finding->detail, INDENT);
  for (guint i = 0; i < finding->notes->len; i++)
    {
      const char *note = finding->notes->pdata[i];
      gsize own = strspn (note, " ");

      g_string_append_printf (lines, "%*s", (int) (INDENT + own), "");
      append_wrapped (lines, note + own, INDENT + own);
    }
  if (finding->advice != NULL)
    {
      g_string_append_printf (lines, "%*s%s ", INDENT - 3, "", view_is_unicode () ? " →" : "->");
      append_wrapped (lines, finding->advice, INDENT);
    }
  return g_string_free (lines, FALSE);
}

/* As JSON */

static void
add_to_json (CheckReport   *self,
             const Finding *finding)
{
  JsonObject *object = json_object_new ();
  g_autoptr (GList) names = json_object_get_members (finding->values);

  json_object_set_string_member (object, "step", steps[finding->step].nick);
  json_object_set_string_member (object, "result", results[finding->result].nick);
  json_object_set_string_member (object, "detail", finding->detail);
  if (finding->advice != NULL)
    json_object_set_string_member (object, "advice", finding->advice);
  else
    json_object_set_null_member (object, "advice");
  for (GList *name = names; name != NULL; name = name->next)
    json_object_set_member (object, name->data, json_object_dup_member (finding->values, name->data));
  json_array_add_object_element (self->steps, object);
}

static void
print_json (CheckReport *self,
            const char  *url)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  g_autofree char *text = NULL;

  json_node_take_object (root, object);
  if (url != NULL)
    json_object_set_string_member (object, "url", url);
  else
    json_object_set_null_member (object, "url");
  json_object_set_boolean_member (object, "ok", !self->failed);
  json_object_set_array_member (object, "steps", json_array_ref (self->steps));
  text = json_to_string (root, TRUE);
  self->code = view_print (stdout, "%s\n", text);
}

/* The report */

CheckReport *
check_report_new (gboolean json)
{
  CheckReport *self = g_new0 (CheckReport, 1);

  self->json = json;
  self->steps = json_array_new ();
  view_init (!json);
  return self;
}

void
check_report_free (CheckReport *self)
{
  g_clear_pointer (&self->row, view_row_free);
  json_array_unref (self->steps);
  g_free (self);
}

/**
 * check_report_begin:
 *
 * Shows the current step on a terminal, until it has a result.
 */
void
check_report_begin (CheckReport *self,
                    Step         step)
{
  g_autofree char *label = view_pad (_(steps[step].label), LABEL);
  g_autofree char *lead = g_strdup_printf ("%s %s", view_is_unicode () ? "…" : ".", label);

  if (!view_is_live ())
    return;
  if (self->row == NULL)
    self->row = view_row_new ();
  view_row_set (self->row, "", VIEW_DIM, lead, "");
}

static void
report_add (CheckReport   *self,
            const Finding *finding)
{
  g_autofree char *text = NULL;
  int code;

  self->found[finding->step] = TRUE;
  self->failed |= finding->result == FINDING_FAILED;
  if (self->json)
    {
      add_to_json (self, finding);
      return;
    }
  text = format_finding (finding);
  g_clear_pointer (&self->row, view_row_free);
  code = view_print (stdout, "%s", text);
  if (self->code == 0)
    self->code = code;
}

/* Adds the steps before @end that have no finding. */
static void
report_skip (CheckReport *self,
             Step         end)
{
  for (Step step = 0; step < end; step++)
    {
      g_autoptr (Finding) finding = NULL;

      if (self->found[step])
        continue;
      finding = finding_new (step);
      finding_set (finding, FINDING_SKIPPED, _("not tried"));
      report_add (self, finding);
    }
}

/**
 * check_report_add:
 * @finding: (transfer full): the finding of a step after those that were added
 */
void
check_report_add (CheckReport *self,
                  Finding     *finding)
{
  g_autoptr (Finding) owned G_GNUC_UNUSED = finding;

  report_skip (self, finding->step);
  report_add (self, finding);
}

/**
 * check_report_end:
 * @url: (nullable): the URL, without secrets
 * @ok: (out): whether no step failed
 *
 * Steps without a finding were not tried.
 *
 * Returns: 0, or the errno if stdout cannot be written to
 */
int
check_report_end (CheckReport *self,
                  const char  *url,
                  gboolean    *ok)
{
  report_skip (self, N_STEPS);
  if (self->json)
    print_json (self, url);
  *ok = !self->failed;
  return self->code;
}
