// SPDX-License-Identifier: Apache-2.0
// The direction rule: a file includes its own level's layer or lower ones; models see base, hooks, io and text; core
// sees a model's interface, never a family.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include "tests/places.h"

namespace {

namespace fs = std::filesystem;

const std::map<std::string, int> kLevels{
    {"base", 0},   {"hooks", 1}, {"io", 1},     {"text", 1},  {"models", 1}, {"locations", 2}, {"interventions", 2},
    {"config", 3}, {"core", 4},  {"engine", 5}, {"sweep", 6}, {"train", 6},  {"viz", 6},       {"cli", 7}};

// "include/vene/core/plan.h" and "src/core/run.cpp" and "models/gpt2/gpt2.cpp" -> the layer.
std::string layer_of(const fs::path& relative) {
  auto part = relative.begin();
  if (*part == "models") return "models";
  if (*part == "src") return std::next(part)->string();
  return std::next(part, 2)->string();
}

bool may_include(const std::string& from, const std::string& to, const std::string& header) {
  if (from == to) return true;
  if (from == "text") return to == "base" || to == "io";  // tokenizers read their own files
  if (from == "models") return to == "base" || to == "hooks" || to == "io" || to == "text";
  // The interface, whose batches may be trusted, and the loader, which hands out a model without naming its family.
  if (to == "models") {
    return kLevels.at(from) >= 4 && (header == "vene/models/model.h" || header == "vene/models/trusted_batches.h" ||
                                     header == "vene/models/load.h");
  }
  const int from_level = kLevels.at(from);
  const int to_level = kLevels.at(to);
  // Layers of one level may use each other only among sweep, train and viz (a picture of a sweep's result).
  return to_level < from_level || (to_level == from_level && from == "viz");
}

TEST(LayersTest, FilesIncludeTheirOwnLayerOrLowerOnes) {
  const fs::path root = vene_test::kSourceFolder;
  const std::regex include(R"re(^\s*#include "((?:vene|src|models)/[^"]+)")re");
  int checked = 0;
  for (const char* top : {"include/vene", "src", "models"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      const fs::path relative = fs::relative(entry.path(), root);
      if (relative == "include/vene/vene.h") continue;  // the umbrella
      const std::string from = layer_of(relative);
      ASSERT_TRUE(kLevels.contains(from)) << relative;
      std::ifstream file(entry.path());
      std::string line;
      while (std::getline(file, line)) {
        std::smatch match;
        if (!std::regex_search(line, match, include)) continue;
        const std::string header = match[1];
        if (header == "vene/vene.h") {
          ADD_FAILURE() << relative << " includes the umbrella header";
          continue;
        }
        const std::string to = layer_of(header.starts_with("vene/") ? fs::path("include") / header : fs::path(header));
        ASSERT_TRUE(kLevels.contains(to)) << relative << ": " << header;
        EXPECT_TRUE(may_include(from, to, header))
            << relative << " (" << from << ") includes " << header << " (" << to << ")";
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 50);
}

TEST(LayersTest, PublicHeadersDoNotBringInTheJsonLibrary) {
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(vene_test::kSourceFolder) / "include")) {
    if (entry.path().extension() != ".h" || entry.path().filename() == "json.h") continue;
    std::ifstream file(entry.path());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(text.find("nlohmann"), std::string::npos) << entry.path();
  }
}

TEST(LayersTest, EverySourceNamesItsLicence) {
  for (const char* top : {"include", "src", "models", "tests", "examples", "benchmarks"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(vene_test::kSourceFolder) / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      std::ifstream file(entry.path());
      std::string line;
      std::getline(file, line);
      EXPECT_EQ(line, "// SPDX-License-Identifier: Apache-2.0") << entry.path();
    }
  }
}

}  // namespace
