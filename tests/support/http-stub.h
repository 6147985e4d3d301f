/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A server that answers upgrade requests with what was put on its list, one entry a request; the
 * last entry is used again and again. It records what it was asked. It runs on its own thread;
 * the list is filled before the first request, or between two of them. */
typedef struct _HttpStub HttpStub;

HttpStub *http_stub_new (void);
void http_stub_free (HttpStub *stub);
char *http_stub_get_uri (HttpStub *stub,
                         const char *path_and_query);

/* @headers are complete lines, or NULL. */
void http_stub_push_answer (HttpStub *stub,
                            guint status,
                            const char *headers,
                            const char *body);
/* 101, then @frames; then the end of the connection, or with @hold none until the peer ends it. */
void http_stub_push_upgrade (HttpStub *stub,
                             const char *headers,
                             const void *frames,
                             gsize length,
                             gboolean hold);
/* These bytes instead of an answer, then the end: garbage, half an answer, nothing at all. */
void http_stub_push_raw (HttpStub *stub,
                         const char *bytes);
/* These without an end. */
void http_stub_push_open_end (HttpStub *stub,
                              const void *bytes,
                              gsize length);
void http_stub_push_silence (HttpStub *stub);
/* 101 with a wrong Sec-WebSocket-Accept. */
void http_stub_push_wrong_accept (HttpStub *stub);

/* Ends the connections held. */
void http_stub_drop_held (HttpStub *stub);

gboolean http_stub_wait_requests (HttpStub *stub,
                                  guint count);
gboolean http_stub_wait_held (HttpStub *stub,
                              guint count);
guint http_stub_get_requests (HttpStub *stub);
/* Of the request number @index: the path with the query, one header or parameter of the query
 * (NULL if it has none), and when it came. */
char *http_stub_get_target (HttpStub *stub,
                            guint index);
char *http_stub_get_header (HttpStub *stub,
                            guint index,
                            const char *name);
char *http_stub_get_parameter (HttpStub *stub,
                               guint index,
                               const char *name);
gint64 http_stub_get_time (HttpStub *stub,
                           guint index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (HttpStub, http_stub_free)

G_END_DECLS
