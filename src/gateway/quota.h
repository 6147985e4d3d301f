/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* So many places of something, for all principals together, on whichever threads they are taken.
 *
 * Each principal may have so many of them and no more. A quarter of all is set aside in equal parts, one for
 * each principal: however many the others have taken, a principal finds those of its own part free. Where that
 * is none, as there are many principals, it is one for each, of at most half of all. What is beyond its part
 * a principal takes from the rest, which is for all, and for principals of which nobody knew before that they would come. */
typedef struct
{
  GMutex mutex;

  /* Under the mutex */
  guint used;
  atomic_uint max;   /* may be read without it */
  guint part;        /* of each principal, set aside */
  guint shared_max;  /* what is left of all beside the parts, */
  guint shared_used; /* and how many of these are taken */
} TcpQuota;

/* What one principal has of it. */
typedef struct
{
  guint used; /* under the mutex of the quota */
  gboolean common; /* likewise: nothing is set aside for it */
  atomic_uint max; /* whoever has more keeps them */
  const char *_Atomic property; /* that says so, for messages; NULL before it is limited */
} TcpQuotaShare;

typedef enum
{
  TCP_QUOTA_ENTERED,
  TCP_QUOTA_FULL,     /* there is no place left that is not set aside for others */
  TCP_QUOTA_OWN_FULL, /* this principal has as many as one may have */
} TcpQuotaResult;

void tcp_quota_init (TcpQuota *self,
                     guint     max);
void tcp_quota_clear (TcpQuota *self);
void tcp_quota_set_max (TcpQuota *self,
                        guint     max);
void tcp_quota_set_aside (TcpQuota             *self,
                          guint                 n_principals,
                          TcpQuotaShare *const *shares,
                          guint                 n_shares,
                          guint                 n_common);
guint tcp_quota_get_share (guint max,
                           guint n_principals,
                           guint wanted);
TcpQuotaResult tcp_quota_enter (TcpQuota      *self,
                                TcpQuotaShare *share);
void tcp_quota_share_limit (TcpQuotaShare *self,
                            guint          max,
                            const char    *property);
void tcp_quota_leave (TcpQuota      *self,
                      TcpQuotaShare *share);
void tcp_quota_read (TcpQuota *self,
                     guint64  *used,
                     guint64  *max);
gboolean tcp_quota_is_half_full (TcpQuota      *self,
                                 TcpQuotaShare *share);

G_END_DECLS
