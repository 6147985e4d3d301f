/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A server that answers each upgrade request with the next entry of a list, and all further requests with the last
 * entry. It records the requests. It has a thread of its own. Entries are added before the first request or between two
 * requests. */
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
/* Answers 101, then sends @frames. Then it ends the connection, or with @hold waits until the peer ends it. */
void http_stub_push_upgrade (HttpStub *stub,
                             const char *headers,
                             const void *frames,
                             gsize length,
                             gboolean hold);
/* Sends @bytes in place of an answer, then ends the connection: garbage, half an answer, nothing at all. */
void http_stub_push_raw (HttpStub *stub,
                         const char *bytes);
/* The same without ending the connection. */
void http_stub_push_open_end (HttpStub *stub,
                              const void *bytes,
                              gsize length);
void http_stub_push_silence (HttpStub *stub);
/* Answers 101 with a wrong Sec-WebSocket-Accept. */
void http_stub_push_wrong_accept (HttpStub *stub);

/* Ends the connections that were kept open. */
void http_stub_drop_held (HttpStub *stub);

gboolean http_stub_wait_requests (HttpStub *stub,
                                  guint count);
gboolean http_stub_wait_held (HttpStub *stub,
                              guint count);
guint http_stub_get_requests (HttpStub *stub);
/* About request number @index: the path with the query, a header or a parameter of the query (NULL if there is none),
 * and the time at which it was read. */
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
