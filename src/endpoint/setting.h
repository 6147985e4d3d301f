/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

typedef enum
{
  TCP_SETTING_STRING,
  TCP_SETTING_STRV,
  TCP_SETTING_OBJECT,
  TCP_SETTING_BOXED, /* read-only */
  TCP_SETTING_BOOLEAN,
  TCP_SETTING_INT,
  TCP_SETTING_UINT,
  TCP_SETTING_UINT64,
  TCP_SETTING_ENUM,
} TcpSettingKind;

/* A property of a class, as a row of the class's table. To add one:
 *
 *  - add a field to the struct of the class's settings (endpoint/settings.h, tunnel/settings.h, gateway/settings.h),
 *  - add a row to the table of the class (properties.c beside it), with the documentation comment above the row,
 *  - name it in the Python stubs, and in the list of tests/exports (`signatures GIR > LIST`).
 *
 * The property is then there, with its default, its range and its notification; the settings that an engine is
 * started with are copies, so that a change takes effect at the next start. One that takes effect at once has a
 * function in `changed`. One that cannot be set has no field, but a function in `get`. */
typedef struct
{
  const char *name;
  TcpSettingKind kind;
  gsize offset;          /* of the field in the settings */
  GType (*type) (void);  /* of an enum, an object or a boxed value */
  gint64 minimum;        /* of a number, as are the next two */
  gint64 maximum;
  gint64 initial;        /* the default; also of an enum and a boolean */
  const char *text;      /* the default of a string */
  guint64 least;         /* a smaller 64-bit number other than 0 is raised to this */
  gboolean is_secret;    /* it can be set but not read */
  gboolean is_construct_only;

  /* called with the lock of the endpoint held */
  void (*changed) (TcpEndpoint *endpoint); /* called each time that it is set, even to the same value */
  void (*get) (TcpEndpoint *endpoint,
               GValue      *value);
} TcpSetting;

/* The settings of a class begin with those of its parent class. */
typedef struct _TcpSettings TcpSettings;
struct _TcpSettings
{
  const TcpSettings *parent;
  gsize size;
  const TcpSetting *rows;
  guint n_rows;
};

void tcp_settings_install (const TcpSettings *self,
                           GObjectClass      *object_class);
gpointer tcp_settings_new (const TcpSettings *self);
gpointer tcp_settings_copy (const TcpSettings *self,
                            gconstpointer      values);
void tcp_settings_free (const TcpSettings *self,
                        gpointer           values);

const TcpSetting *tcp_setting_of (GParamSpec *pspec);
void tcp_setting_get (const TcpSetting *self,
                      gconstpointer     values,
                      GValue           *value);
gpointer tcp_setting_prepare (const TcpSetting *self,
                              const GValue     *value);
gboolean tcp_setting_set (const TcpSetting *self,
                          gpointer          values,
                          const GValue     *value,
                          gpointer         *pointer);
void tcp_setting_discard (const TcpSetting *self,
                          gpointer          pointer);

G_END_DECLS
