/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/quota.h"

#include "base/tsan.h"

void
tcp_quota_init (TcpQuota *self,
                guint     max)
{
  *self = (TcpQuota) { .max = max, .shared_max = max };
  g_mutex_init (&self->mutex);
}

void
tcp_quota_clear (TcpQuota *self)
{
  g_mutex_clear (&self->mutex);
}

/* Principals that have more keep them. The caller must call tcp_quota_set_aside () next. */
void
tcp_quota_set_max (TcpQuota *self,
                   guint     max)
{
  g_mutex_lock (&self->mutex);
  self->max = self->shared_max = max;
  self->part = 0;
  self->shared_used = self->used;
  g_mutex_unlock (&self->mutex);
}

/* Sets the number of principals. @shares are those of all principals that have taken places, of which nothing is set
 * aside for the last @n_common. If the quarter of the places is too small for one each, each principal still has one,
 * as long as that is no more than half of all places. */
void
tcp_quota_set_aside (TcpQuota             *self,
                     guint                 n_principals,
                     TcpQuotaShare *const *shares,
                     guint                 n_shares,
                     guint                 n_common)
{
  g_mutex_lock (&self->mutex);
  self->part = n_principals > 1 ? self->max / 4 / n_principals : 0;
  if (n_principals > 1 && self->part == 0 && n_principals <= self->max / 2)
    self->part = 1;
  self->shared_max = self->max - self->part * n_principals;
  self->shared_used = 0;
  for (guint i = 0; i < n_shares; i++)
    {
      shares[i]->common = i >= n_shares - n_common;
      self->shared_used += shares[i]->common ? shares[i]->used : MAX (shares[i]->used, self->part) - self->part;
    }
  g_mutex_unlock (&self->mutex);
}

/* The number of places that each of @n_principals may have: @wanted, or if that is 0 three quarters, so that no
 * principal can take all. If there is only one, it may. */
guint
tcp_quota_get_share (guint max,
                     guint n_principals,
                     guint wanted)
{
  if (wanted > 0)
    return MIN (wanted, max);
  return n_principals > 1 ? MAX (max - max / 4, 1) : max;
}

/* @property is static. */
void
tcp_quota_share_limit (TcpQuotaShare *self,
                       guint          max,
                       const char    *property)
{
  self->max = max;
  self->property = property;
}

/* A refused call takes no place, not even for a moment: other calls could be refused although there is room. */
TcpQuotaResult
tcp_quota_enter (TcpQuota      *self,
                 TcpQuotaShare *share)
{
  guint shared;
  TcpQuotaResult result = TCP_QUOTA_ENTERED;

  g_mutex_lock (&self->mutex);
  shared = share->common || share->used >= self->part;
  if (self->used >= self->max)
    result = TCP_QUOTA_FULL;
  else if (share->used >= share->max)
    result = TCP_QUOTA_OWN_FULL;
  else if (shared && self->shared_used >= self->shared_max)
    result = TCP_QUOTA_FULL;

  if (result == TCP_QUOTA_ENTERED)
    {
      share->used++;
      self->used++;
      self->shared_used += shared;
    }
  g_mutex_unlock (&self->mutex);
  return result;
}

void
tcp_quota_leave (TcpQuota      *self,
                 TcpQuotaShare *share)
{
  g_mutex_lock (&self->mutex);
  g_assert (share->used > 0 && self->used > 0);
  share->used--;
  self->used--;
  self->shared_used -= share->common || share->used >= self->part;
  g_mutex_unlock (&self->mutex);
}

/* @used may be NULL. */
void
tcp_quota_read (TcpQuota *self,
                guint64  *used,
                guint64  *max)
{
  g_mutex_lock (&self->mutex);
  if (used != NULL)
    *used = self->used;
  *max = self->max;
  g_mutex_unlock (&self->mutex);
}

/* Whether more than half of all places are taken, or of those that this principal may have. */
gboolean
tcp_quota_is_half_full (TcpQuota      *self,
                        TcpQuotaShare *share)
{
  gboolean full;

  g_mutex_lock (&self->mutex);
  full = self->used > self->max / 2 || share->used > share->max / 2;
  g_mutex_unlock (&self->mutex);
  return full;
}
