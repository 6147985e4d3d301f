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
  OPTION_LISTENS,  /* a list of these */
  OPTION_INPUT,    /* a file that is read */
  OPTION_OUTPUT,   /* a file that is written, -, or the journal */
  OPTION_LIST,     /* repeatable; a list with ; in a file */
  OPTION_NUMBER,   /* in the range of the property */
  OPTION_MEMORY,   /* MiB */
  OPTION_RATE,     /* bytes per second, optionally with K, M or G */
  OPTION_DURATION, /* with a unit, or in seconds */
  OPTION_CHOICE,   /* a nick of the property's type */
  OPTION_BOOLEAN,  /* yes or no */
  OPTION_FLAG,     /* without a value, only on the command line */
} OptionKind;

/* The value of an option. */
typedef struct
{
  char *label;   /* the name of the option in a message */
  Place place;   /* where it was set */
  char *text;    /* NULL if it is not set, as is the next */
  char **list;   /* of OPTION_LIST and OPTION_LISTENS */
  gboolean flag; /* of OPTION_FLAG */
} OptionValue;

typedef struct _OptionSet OptionSet;

/* An option of a command, and a key of the same name in its file. The table of a command ends with a row without a
 * name. */
typedef struct
{
  const char *section;  /* the section that begins here in the help, NULL for the previous one */
  const char *name;
  OptionKind kind;
  const char *help;     /* short enough for a line of 80 columns */
  const char *argument; /* the name of the value in the help; file names are completed for FILE */
  const char *property; /* the property to set, NULL for none or if `apply` sets it */
  guint least;          /* of OPTION_MEMORY and OPTION_RATE */
  gboolean only_option; /* it is not a key */
  gboolean is_secret;   /* not allowed in a file that every user can read, unless it is hashed */
  gboolean waits;       /* a change takes effect only at the next start */

  /* Called instead of setting the property. */
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
