// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks what a shared build of the library shows.
#if defined(_WIN32)
#define VENE_API
#else
#define VENE_API __attribute__((visibility("default")))
#endif
