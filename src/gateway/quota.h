/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/* A limited number of places, for all principals together, which may be taken on any thread.
 *
 * The number for each principal is limited as well. A quarter of all places is set aside in equal parts, one for each
 * principal: however many the others have taken, a principal finds its own part free. If that part would be zero, since
 * there are many principals, it is one place for each, of at most half of all. Beyond its part a principal takes places
 * from the rest, which is shared by all, including principals that were not known in advance. */
typedef struct
{
  GMutex mutex;

  /* under the mutex */
  guint used;
  atomic_uint max;   /* may be read without it */
  guint part;        /* the number set aside for each principal */
  guint shared_max;  /* the rest, without these parts */
  guint shared_used; /* how many places of the rest are taken */
} TcpQuota;

/* The places of one principal. */
typedef struct
{
  guint used; /* under the mutex of the quota */
  gboolean common; /* likewise: nothing is set aside for it */
  atomic_uint max; /* a principal that has more keeps them */
  const char *_Atomic property; /* the property that sets max, for messages; NULL before it is set */
} TcpQuotaShare;

typedef enum
{
  TCP_QUOTA_ENTERED,
  TCP_QUOTA_FULL,     /* no place is left that is not set aside for others */
  TCP_QUOTA_OWN_FULL, /* this principal has its maximum */
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
