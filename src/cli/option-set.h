/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib-object.h>

#include "cli/key-file.h"
#include "cli/options.h"

G_BEGIN_DECLS

typedef enum
{
  OPTION_STRING,
  OPTION_LISTEN,   /* an address, or unix:PATH */
  OPTION_INPUT,    /* a file that is read */
  OPTION_OUTPUT,   /* a file that is written, -, or the journal */
  OPTION_LIST,     /* repeatable; a list with ; in a file */
  OPTION_NUMBER,   /* what the property allows */
  OPTION_MEMORY,   /* MiB */
  OPTION_RATE,     /* bytes a second, perhaps with K, M or G */
  OPTION_DURATION, /* with a unit, or in seconds */
  OPTION_CHOICE,   /* a nick of the property's type */
  OPTION_BOOLEAN,  /* yes or no */
  OPTION_FLAG,     /* without a value, and on the command line only */
} OptionKind;

/* What somebody has said of an option. */
typedef struct
{
  char *label;   /* what it is called in a message */
  Place place;   /* where it was said */
  char *text;    /* NULL if nothing was, like the next */
  char **list;   /* of OPTION_LIST */
  gboolean flag; /* of OPTION_FLAG */
} OptionValue;

typedef struct _OptionSet OptionSet;

/* An option of a command, and a key of the same name in its file. The table of a command ends with one that has no name. */
typedef struct
{
  const char *section;  /* that begins here in the help, NULL for the one before */
  const char *name;
  OptionKind kind;
  const char *help;     /* so short that the line has not more than 80 columns */
  const char *argument; /* what the help calls the value; names of files are completed for FILE */
  const char *property; /* that is set, NULL for none or for what `apply` does */
  guint least;          /* of OPTION_MEMORY and OPTION_RATE */
  gboolean only_option; /* it is no key */
  gboolean is_secret;   /* it may not stand in a file that everybody can read, unless it is hashed */
  gboolean waits;       /* a change takes effect at the next start only */

  /* In place of setting the property. */
  void (*apply) (const OptionSet   *options,
                 const OptionValue *value,
                 GObject           *object,
                 Problems          *problems);
} OptionRow;

OptionSet *option_set_new (const OptionRow *rows);
OptionSet *option_set_copy (const OptionSet *self);
void option_set_free (OptionSet *self);
GOptionEntry *option_set_make_entries (OptionSet *self);
OptionsSection *option_set_make_sections (const OptionSet *self);

OptionValue *option_set_get (const OptionSet *self,
                             const char      *name);
const char *option_set_get_text (const OptionSet *self,
                                 const char      *name);
void option_set_get_duration (const OptionSet *self,
                              const char      *name,
                              guint           *value);
gboolean option_set_get_boolean (const OptionSet *self,
                                 const char      *name,
                                 gboolean         initial);
char **option_set_list_inputs (const OptionSet *self);
char **option_set_list_waiting (const OptionSet *self,
                                const OptionSet *former);

void option_set_read_group (OptionSet  *self,
                            KeyFile    *file,
                            const char *group,
                            Problems   *problems);
void option_set_reset (GObject    *object,
                       const char *property);
void option_set_apply (const OptionSet *self,
                       GObject         *object,
                       Problems        *problems);
void option_set_check (OptionSet  *self,
                       GObject  *(*make) (gpointer user_data),
                       gboolean  (*check) (GObject  *object,
                                           gpointer  user_data,
                                           GError  **error),
                       gpointer    user_data,
                       Problems   *problems);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OptionSet, option_set_free)

G_END_DECLS
