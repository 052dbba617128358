// SPDX-License-Identifier: Apache-2.0
// vene collect as a user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "unit/cli/child.h"
#include "vene/core/collected_folder.h"

namespace vene_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kTexts = "examples/texts/landmarks.txt";

class CollectCommand : public testing::Test {
 protected:
  Outcome collect(const std::vector<std::string>& more, const std::string& out = "out",
                  const std::string& data = kTexts) {
    std::vector<std::string> arguments{"collect", "-m", bundled_model(), "--data", data, "-o", folder_ / out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vene_command(arguments);
  }
  TestFolder folder_;
};

TEST_F(CollectCommand, WritesAnIndexAndShardsThatAreRead) {
  const Outcome outcome = collect({});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("6 sites of 20 texts: 210 rows in 1 shard, 645 kB"));
  EXPECT_THAT(outcome.out, HasSubstr("index: " + (folder_ / "out/index.json")));
  EXPECT_THAT(names_below(folder_ / "out"), testing::ElementsAre("index.json", "values-00000.safetensors"));
  EXPECT_EQ(vene::CollectedFolder::open(folder_ / "out").values("block_output.5").size(0), 210);
}

TEST_F(CollectCommand, EverythingIsOneLine) {
  EXPECT_EQ(collect({"--sites", "*", "--layers", "0,4-5", "--positions", "last", "--store-dtype", "float16"}).status,
            0);
  const auto folder = vene::CollectedFolder::open(folder_ / "out");
  EXPECT_EQ(folder.sites().size(), 3U * 13U + 3U);
  EXPECT_EQ(folder.rows(), 20);
  EXPECT_EQ(folder.site("attention_pattern.4").dtype, torch::kFloat16);
  EXPECT_EQ(folder.of_text("attention_pattern.4", 2).size(-1), folder.row(2).position + 1);
}

TEST_F(CollectCommand, ResumeGoesOnAndKeepsWhatIsThere) {
  const std::vector<std::string> small{"--shard-size", "40KB", "--json"};
  const auto first = nlohmann::json::parse(collect(small).out);
  EXPECT_GT(first["shards"], 10);
  EXPECT_EQ(first["kept_shards"], 0);
  EXPECT_EQ(first["sites"][5], "block_output.5");
  EXPECT_EQ(first["index"], folder_ / "out/index.json");
  fs::remove(folder_ / "out/values-00003.safetensors");
  const auto before = read_text(folder_ / "out/index.json");
  std::vector<std::string> again = small;
  again.push_back("--resume");
  const auto second = nlohmann::json::parse(collect(again).out);
  EXPECT_EQ(second["kept_shards"], first["shards"].get<int>() - 1);
  EXPECT_EQ(read_text(folder_ / "out/index.json"), before);
  EXPECT_TRUE(fs::exists(folder_ / "out/values-00003.safetensors"));
  again[1] = "41KB";
  const Outcome other = collect(again);
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("was collected with shard_bytes 40000, now it is 41000"));
  EXPECT_THAT(collect(small).err, HasSubstr("is not empty; resume goes on with a run that was stopped there"));
  EXPECT_THAT(collect({"--resume"}, "new").err, HasSubstr("has no index.json, so there is nothing to resume"));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

TEST_F(CollectCommand, QuantitiesThatAreNoneAreUsageErrors) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--layers", "1-"}, "expected layers such as 3, 0,4-6 or all, got '1-'"},
      {{"--positions", "lst"}, "expected all, first, last or positions such as 0,-2,-1, got 'lst'"},
      {{"--positions", "1,,2"}, "got '1,,2'"},
      {{"--shard-size", "0"}, "expected a size such as 500MB or 2GiB, got '0'"},
      {{"--shard-size", "5TB"}, "got '5TB'"},
      {{"--store-dtype", "int8"}, "int8"},
      {{"--max-tokens", "0"}, "0"}};
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = collect(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments[1];
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_FALSE(fs::exists(folder_ / "out"));
  }
}

TEST_F(CollectCommand, ATextThatIsTooLongIsToldOrCut) {
  std::string words = "The";
  for (int i = 0; i < 200; ++i) words += " Space";
  write_text(folder_ / "long.txt", "The Space Needle\n" + words + "\n");
  const Outcome outcome = collect({}, "out", folder_ / "long.txt");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("long.txt line 2: the text has 201 tokens, and the model reads 128 at most"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_EQ(collect({"--max-tokens", "128"}, "out", folder_ / "long.txt").status, 0);
  EXPECT_EQ(vene::CollectedFolder::open(folder_ / "out").of_text("block_output.0", 1).size(0), 128);
  EXPECT_EQ(
      collect({}, "jsonl", folder_.write("a.jsonl", "{\"text\": \"The Space Needle\"}\n{\"ids\": [5, 6]}\n")).status,
      0);
  EXPECT_TRUE(vene::CollectedFolder::open(folder_ / "jsonl")
                  .of_text("block_output.0", 0)
                  .allclose(vene::CollectedFolder::open(folder_ / "out").of_text("block_output.0", 0), 1e-4, 1e-4));
}

// The most memory that any child has held until now, in KiB.
long most_memory() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return usage.ru_maxrss;
}

TEST_F(CollectCommand, MemoryDoesNotGrowWithTheNumberOfTexts) {
  const auto texts = [&](int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += "The Space Needle is in downtown Seattle, they say\n";
    return folder_.write(std::to_string(count) + ".txt", all);
  };
  const std::vector<std::string> options{"--shard-size", "4MB", "-q"};
  ASSERT_EQ(collect(options, "few", texts(500)).status, 0);
  const long few = most_memory();
  ASSERT_EQ(collect(options, "many", texts(10000)).status, 0);
  const long many = most_memory();
  const auto folder = vene::CollectedFolder::open(folder_ / "many");
  EXPECT_GT(folder.rows() * 6 * 128 * 4, std::int64_t{200} << 20);  // what it wrote would not have fitted
  EXPECT_LT(static_cast<double>(many), 1.2 * static_cast<double>(few));
}

}  // namespace
}  // namespace vene_test
