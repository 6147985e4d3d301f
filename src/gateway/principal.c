/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/principal.h"

#include "base/i18n.h"
#include "base/invalid.h"
#include "base/lock.h"

/**
 * TcpPrincipal:
 *
 * The settings of a gateway for the clients of one name.
 *
 * A gateway identifies its clients by names, each of which is a *principal*: those in its
 * [property@TcpTunnel.Gateway:token-file], and those in [property@TcpTunnel.Gateway:principals]. For a name that has
 * tokens but no such object, the properties of the gateway apply. An object contains the settings that differ for its
 * name; it may have further tokens, or the only ones.
 *
 * The object only holds data. Its properties may be set at any time, and from any thread; the gateway reads them when
 * it starts, and when [method@TcpTunnel.Gateway.reload] is called.
 *
 * ```c
 * g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
 * g_autoptr (TcpPrincipal) alice = tcp_principal_new ("alice");
 * const char *allow[] = { "db.lab:5432", "10.0.0.0/8:22", NULL };
 * const char *tokens[] = { token, NULL };
 *
 * g_object_set (alice, "allow", allow, "tokens", tokens, "max-connections", 100, NULL);
 * g_list_store_append (principals, alice);
 * g_object_set (gateway, "principals", principals, NULL);
 * ```
 *
 * Since: 1.0
 */

struct _TcpPrincipal
{
  GObject parent_instance;
  TcpLock lock;
  TcpPrincipalSpec *spec; /* under the lock */
};

G_DEFINE_FINAL_TYPE (TcpPrincipal, tcp_principal, G_TYPE_OBJECT)

/**
 * tcp_principal_new:
 * @name: the name
 *
 * Creates a principal that has no settings of its own yet, and no token.
 *
 * Returns: (transfer full): a new principal
 *
 * Since: 1.0
 */
TcpPrincipal *
tcp_principal_new (const char *name)
{
  g_return_val_if_fail (name != NULL, NULL);

  return g_object_new (TCP_TYPE_PRINCIPAL, "name", name, NULL);
}

/* Returns the current settings of each principal in @list, which may be NULL. */
GPtrArray *
tcp_principals_get_specs (GListModel  *list,
                          GError     **error)
{
  guint n = list != NULL ? g_list_model_get_n_items (list) : 0;
  g_autoptr (GPtrArray) specs = g_ptr_array_new_full (n, (GDestroyNotify) tcp_principal_spec_unref);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GObject) item = g_list_model_get_item (list, i);
      TcpPrincipal *self;

      if (!TCP_IS_PRINCIPAL (item))
        {
          tcp_invalid (error, _("the list of principals contains an object that is not a principal"));
          return NULL;
        }
      self = TCP_PRINCIPAL (item);
      tcp_lock (&self->lock);
      g_ptr_array_add (specs, tcp_principal_spec_ref (self->spec));
      tcp_unlock (&self->lock);
    }
  return g_steal_pointer (&specs);
}

static void
tcp_principal_get_property (GObject    *object,
                            guint       id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  TcpPrincipal *self = TCP_PRINCIPAL (object);

  tcp_lock (&self->lock);
  tcp_setting_get (tcp_setting_of (pspec), self->spec, value);
  tcp_unlock (&self->lock);
}

static void
tcp_principal_set_property (GObject      *object,
                            guint         id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  TcpPrincipal *self = TCP_PRINCIPAL (object);
  const TcpSetting *setting = tcp_setting_of (pspec);
  gpointer pointer = tcp_setting_prepare (setting, value);
  gboolean is_new;

  tcp_lock (&self->lock);
  self->spec = tcp_principal_spec_make_own (self->spec);
  is_new = tcp_setting_set (setting, self->spec, value, &pointer);
  tcp_unlock (&self->lock);

  tcp_setting_discard (setting, pointer);
  if (is_new)
    g_object_notify_by_pspec (object, pspec);
}

static void
tcp_principal_finalize (GObject *object)
{
  TcpPrincipal *self = TCP_PRINCIPAL (object);

  tcp_principal_spec_unref (self->spec);
  tcp_lock_clear (&self->lock);

  G_OBJECT_CLASS (tcp_principal_parent_class)->finalize (object);
}

static void
tcp_principal_class_init (TcpPrincipalClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = tcp_principal_get_property;
  object_class->set_property = tcp_principal_set_property;
  object_class->finalize = tcp_principal_finalize;
  tcp_settings_install (&tcp_principal_spec_settings, object_class);
}

static void
tcp_principal_init (TcpPrincipal *self)
{
  tcp_lock_init (&self->lock);
  self->spec = tcp_principal_spec_new ();
}
