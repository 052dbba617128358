// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// What every error of the library derives from. A message is one sentence: where, what was expected, what came, and
/// the nearest valid name. docs/errors.md lists them.
class VENE_API Error : public std::runtime_error {
 public:
  /// Control characters of what the message quotes are escaped, so that no file writes to a terminal through it, and
  /// lines of more than 2,000 bytes lose their middle.
  explicit Error(const std::string& message);
};

/// A config or experiment that does not say what it must. May hold several problems, one a line.
class VENE_API ConfigError : public Error {
 public:
  using Error::Error;
};
/// A location out of range, of the wrong depth, or for another batch.
class VENE_API LocationError : public Error {
 public:
  using Error::Error;
};
/// A model that cannot be built or run: unknown architecture, wrong tensor shapes, tokens out of range.
class VENE_API ModelError : public Error {
 public:
  using Error::Error;
};
/// A file that is missing, cut, malformed, or cannot be written.
class VENE_API IoError : public Error {
 public:
  using Error::Error;
};
/// A plan that does not fit its model or its inputs, or a write that never fired.
class VENE_API PlanError : public Error {
 public:
  using Error::Error;
};

}  // namespace vene
