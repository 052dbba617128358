// SPDX-License-Identifier: Apache-2.0
#include "src/base/at_place.h"

#include <typeinfo>

namespace vene::detail {
namespace {

template <class E>
void throw_as(const Error& error, const std::string& message) {
  if (typeid(error) == typeid(E)) throw E(message);
}

}  // namespace

void rethrow_at(const std::string& place, const Error& error) {
  const std::string message = place + ": " + error.what();
  throw_as<Error>(error, message);
  throw_as<ConfigError>(error, message);
  throw_as<LocationError>(error, message);
  throw_as<ModelError>(error, message);
  throw_as<IoError>(error, message);
  throw_as<PlanError>(error, message);
  throw;
}

}  // namespace vene::detail
