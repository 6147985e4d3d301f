/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/invalid.h"

#include <tcptunnel/tcptunnel.h>

gboolean
tcp_invalid (GError    **error,
             const char *format,
             ...)
{
  va_list args;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, format, args));
  va_end (args);
  return FALSE;
}
