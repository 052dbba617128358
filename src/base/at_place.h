// SPDX-License-Identifier: Apache-2.0
// An error learns on its way up where it happened, and stays what it is.
#pragma once
#include <string>
#include <utility>

#include "vene/base/error.h"

namespace vene::detail {

/// To be called where `error` was caught: throws it again with "place: " in front of its message and of the class that
/// it has. An error of a class of somebody else's is thrown as it is.
[[noreturn]] void rethrow_at(const std::string& place, const Error& error);

/// What `fn` returns; its errors say `place` first.
template <class F>
decltype(auto) at_place(const std::string& place, F&& fn) {
  try {
    return std::forward<F>(fn)();
  } catch (const Error& error) {
    rethrow_at(place, error);
  }
}

}  // namespace vene::detail
