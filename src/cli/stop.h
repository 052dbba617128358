// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and its like.
#pragma once
#include <string>

#include "vene/base/error.h"

namespace vene::cli {

/// What a command ends with that a signal stopped.
class Stopped : public Error {
 public:
  using Error::Error;
};

/// While one lives, SIGINT, SIGTERM and SIGHUP end no program but ask its work to stop at the next good place, after
/// which it says what it left and ends with status 1. A second one ends it at once, with 128 + the signal's number.
/// Signals that were ignored before (nohup, a shell's background job) stay so.
class Interruptible {
 public:
  Interruptible();
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  /// Whether a signal came.
  static bool asked();
  /// Throws Stopped if one did. `left` says what there is of the work.
  static void check(const std::string& left = "nothing was written");

  /// Does a piece of work whose progress callback returns false once a signal came; what it throws then is Stopped.
  template <class Work>
  static auto run(Work work) {
    try {
      auto result = work();
      check();
      return result;
    } catch (const std::exception&) {
      check();
      throw;
    }
  }
};

}  // namespace vene::cli
