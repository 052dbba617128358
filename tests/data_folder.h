// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tests/places.h"

namespace vene_test {

/// The folder of real tokenizers, checkpoints and texts: $VENE_DATA, or ../shared/data beside the checkout.
inline std::optional<std::filesystem::path> data_folder() {
  const char* named = std::getenv("VENE_DATA");
  const std::filesystem::path folder = named != nullptr
                                           ? std::filesystem::path(named)
                                           : std::filesystem::path(vene_test::kSourceFolder) / ".." / "shared" / "data";
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

}  // namespace vene_test

#define VENE_REQUIRE_DATA(folder)                                               \
  const std::optional<std::filesystem::path> folder = vene_test::data_folder(); \
  if (!folder) GTEST_SKIP() << "the data folder is absent (set VENE_DATA, or put it at ../shared/data)"
