/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* The steps on the path to a gateway, in their order. */
typedef enum
{
  STEP_URL,
  STEP_NAME,
  STEP_PROXY,
  STEP_TCP,
  STEP_TLS,
  STEP_HTTP,
  STEP_TOKEN,
  STEP_PROTOCOL,
  STEP_ROUND_TRIP,
  N_STEPS,
} Step;

typedef enum
{
  FINDING_OK,
  FINDING_FAILED,
  FINDING_SKIPPED,
} FindingResult;

/* The result of one step. */
typedef struct
{
  Step step;
  FindingResult result;
  char *detail;       /* one line */
  GPtrArray *notes;   /* of char *: further lines */
  char *advice;       /* what is wrong and what to do, or NULL */
  JsonObject *values; /* as JSON */
} Finding;

Finding *finding_new (Step step);
void finding_free (Finding *self);
void finding_set (Finding       *self,
                  FindingResult  result,
                  const char    *format,
                  ...) G_GNUC_PRINTF (3, 4);
void finding_add_note (Finding    *self,
                       const char *format,
                       ...) G_GNUC_PRINTF (2, 3);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Finding, finding_free)

/* Prints the findings, step by step. */
typedef struct _CheckReport CheckReport;

CheckReport *check_report_new (gboolean json);
void check_report_free (CheckReport *self);
void check_report_begin (CheckReport *self,
                         Step         step);
void check_report_add (CheckReport *self,
                       Finding     *finding);
int check_report_end (CheckReport *self,
                      const char  *url,
                      gboolean    *ok);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CheckReport, check_report_free)

G_END_DECLS
