/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

enum
{
  EXIT_FAILED = 1, /* ended with an error */
  EXIT_USAGE = 2,
};

/* The beginning of a section of the options in the help. */
typedef struct
{
  const char *title;
  const char *first; /* the name of its first option */
} OptionsSection;

gboolean options_parse (const char          *command,
                        const char          *arguments,
                        const char          *summary,
                        const char          *description,
                        const GOptionEntry  *entries,
                        char              ***args,
                        GError             **error);
gboolean options_parse_sections (const char            *command,
                                 const char            *summary,
                                 const char            *description,
                                 const GOptionEntry    *entries,
                                 const OptionsSection  *sections,
                                 char                ***args,
                                 GError               **error);
/* As listen: the only socket of the service manager, or all of them. With a colon and a name, those of that name. */
#define OPTIONS_ACTIVATED "systemd"

gboolean options_is_activated (const char *listen);
const char *options_get_activated (const char *listen);
gboolean options_read_listen (const char  *option,
                              const char  *text,
                              GObject     *object,
                              GError     **error);
gboolean options_read_number (const char  *option,
                              const char  *text,
                              guint        min,
                              guint        max,
                              guint       *value,
                              GError     **error);
gboolean options_read_memory (const char  *option,
                              const char  *text,
                              guint        least,
                              GObject     *object,
                              const char  *property,
                              GError     **error);
gboolean options_read_rate (const char  *option,
                            const char  *text,
                            guint64      least,
                            GObject     *object,
                            const char  *property,
                            GError     **error);
gboolean options_read_uint (const char  *option,
                            const char  *text,
                            guint        unit,
                            GObject     *object,
                            const char  *property,
                            GError     **error);
gboolean options_read_attempts (const char  *option,
                                const char  *text,
                                int         *value,
                                GError     **error);
gboolean options_read_boolean (const char  *option,
                               const char  *text,
                               gboolean    *value,
                               GError     **error);
gboolean options_read_duration (const char  *option,
                                const char  *text,
                                guint        max,
                                guint       *value,
                                GError     **error);
gboolean options_read_duration_property (const char  *option,
                                         const char  *text,
                                         GObject     *object,
                                         const char  *property,
                                         GError     **error);
gboolean options_read_enum (const char  *option,
                            const char  *text,
                            GType        type,
                            int         *value,
                            GError     **error);
void options_say (const char        *command,
                  const char        *name,
                  TcpTunnelLogLevel  level,
                  const char        *message);
void options_hint (const char *command);
int options_usage (const char   *command,
                   const GError *error);
int options_failure (const char   *command,
                     const GError *error);
GError *options_stdout_error (int code);
void options_on_signal (GSourceFunc func,
                        GSourceFunc hang_up,
                        gpointer    data);

G_END_DECLS
