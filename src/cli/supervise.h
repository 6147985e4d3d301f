/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/run.h"

G_BEGIN_DECLS

int supervise (const RunOptions *options,
               GPtrArray        *settings);

G_END_DECLS
