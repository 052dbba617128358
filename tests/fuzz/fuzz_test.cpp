// SPDX-License-Identifier: Apache-2.0
// Damaged inputs of every kind are read or refused with a vene::Error: no crash, no hang, no other exception. Seeded,
// so that a failure comes again.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "helpers.h"
#include "tests/places.h"
#include "vene/io/files.h"
#include "vene/io/torch_archive.h"
#include "vene/vene.h"

namespace {

using Json = nlohmann::json;
using vene_test::TestFolder;

// One damaged input must not take longer than this, on a busy machine with sanitizers.
constexpr double kLongest = 20;

class Damage {
 public:
  explicit Damage(std::uint64_t seed) : random_(seed) {}

  // A JSON text with a value, somewhere, put in another's place, taken away or doubled; or with bytes damaged.
  std::string json(const std::string& text) {
    if (random_() % 4 == 0) return vene_test::damaged(text, random_);
    Json document = Json::parse(text);
    for (std::uint64_t edits = 1 + random_() % 3; edits > 0; --edits) {
      std::vector<Json*> places;
      collect(document, places);
      Json& place = *places[random_() % places.size()];
      switch (random_() % 5) {
        case 0:
          place = Json(*places[random_() % places.size()]);
          break;
        case 1:
          if (!place.empty() && place.is_structured())
            place.erase(std::next(place.begin(), static_cast<std::ptrdiff_t>(random_() % place.size())));
          break;
        case 2:
          if (place.is_array()) place.push_back(odd());
          if (place.is_object()) place[std::string(1, static_cast<char>('a' + random_() % 26))] = odd();
          break;
        case 3:
          place = Json::array({place});
          break;
        default:
          place = odd();
      }
    }
    return document.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  std::mt19937_64& random() { return random_; }

 private:
  static void collect(Json& value, std::vector<Json*>& places) {
    places.push_back(&value);
    if (value.is_structured()) {
      for (Json& inner : value) collect(inner, places);
    }
  }
  Json odd() {
    static const std::vector<Json> kOdd{nullptr,
                                        true,
                                        0,
                                        -1,
                                        1,
                                        7,
                                        1e300,
                                        -0.5,
                                        INT64_MAX,
                                        INT64_MIN,
                                        UINT64_MAX,
                                        "",
                                        "last",
                                        "all",
                                        "\xC3\xA9\xE6\x97\xA5",
                                        std::string(300, 'x'),
                                        Json::array(),
                                        Json::object(),
                                        {0, 1},
                                        {{0}, {1}},
                                        {{{0}}, {{1}}},
                                        {{"token", " in"}},
                                        {{"span", {0, 2}}},
                                        {{"h", 0}, {"pos", 1}},
                                        {{"first", INT64_MAX}},
                                        {{"columns", {0, 5}}}};
    return kOdd[random_() % kOdd.size()];
  }
  std::mt19937_64 random_;
};

// Calls `read` on so many damaged inputs; true from it counts as read, vene::Error as refused.
void attack(int rounds, const std::function<std::string()>& make, const std::function<void(const std::string&)>& read) {
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string input = make();
    const auto began = std::chrono::steady_clock::now();
    try {
      read(input);
    } catch (const vene::Error& error) {
      ++refused;
      EXPECT_NE(std::string(error.what()), "");
    } catch (const std::exception& error) {
      ADD_FAILURE() << "round " << round << ": " << std::string(error.what()).substr(0, 300) << "\n"
                    << input.substr(0, 2000);
    }
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), kLongest)
        << input.substr(0, 2000);
  }
  EXPECT_GT(refused, rounds / 10);
  EXPECT_LT(refused, rounds);
}

TEST(Fuzz, SafetensorsHeaders) {
  const TestFolder folder;
  Damage damage(1);
  const std::string good = vene::io::read_file(vene_test::golden_file("state_dict.safetensors"));
  attack(
      1000, [&] { return vene_test::damaged(good, damage.random()); },
      [&](const std::string& bytes) {
        for (const auto& [name, tensor] : vene::io::read_tensors(folder.write("damaged.safetensors", bytes)))
          (void)tensor.clone();
      });
}

TEST(Fuzz, Pickles) {
  const TestFolder folder;
  Damage damage(2);
  const std::string good = vene::io::read_file(vene_test::golden_file("state_dict.pt"));
  attack(
      500, [&] { return vene_test::damaged(good, damage.random()); },
      [&](const std::string& bytes) {
        for (const auto& [name, tensor] : vene::io::read_state_dict(folder.write("damaged.pt", bytes)))
          (void)tensor.clone();
      });
}

TEST(Fuzz, Tokenizers) {
  const TestFolder folder;
  Damage damage(3);
  std::vector<std::string> good;
  for (const char* name : {"added", "digits", "template"})
    good.push_back(
        vene::io::read_file(std::string(vene_test::kSourceFolder) + "/tests/golden/text/" + name + "/tokenizer.json"));
  attack(
      400, [&] { return damage.json(good[damage.random()() % good.size()]); },
      [&](const std::string& text) {
        folder.write("tokenizer.json", text);
        const auto tokenizer = vene::text::Tokenizer::load(folder.path());
        if (tokenizer) (void)tokenizer->decode(tokenizer->encode("The Space Needle, 1962 \xC3\xA9\n<|endoftext|>"));
      });
}

const std::vector<std::string> kConfigs{
    R"([{"layer": 1, "component": "mlp_output", "unit": "pos", "max_number_of_units": 1, "intervention_type": "vanilla", "subspace_partition": [[0, 4], [4, 128]], "group_key": 0, "intervention_link_key": 1}])",
    R"({"representations": [[1, "mlp_output", "h.pos", 3, 2, null, null, [[0, 2], [2, 8]], 0, 1, null, null, true, 64]], "mode": "serial", "sorted_keys": ["x"], "intervention_dimensions": [8], "format_version": 1})",
    R"({"representations": [{"layer": 0, "intervention_type": "noise", "seed": 3, "level": 0.5}, {"component": "transformer.h.2.output", "source_representation": [[1, 2, 3]]}], "intervention_types": ["noise", "addition"]})"};

TEST(Fuzz, Configs) {
  Damage damage(4);
  attack(
      2000, [&] { return damage.json(kConfigs[damage.random()() % kConfigs.size()]); },
      [&](const std::string& text) {
        const auto config = vene::IntervenableConfig::parse(text);
        // What was read can be written and read again.
        EXPECT_EQ(vene::IntervenableConfig::parse(config.to_json()), config) << text;
      });
}

const std::vector<std::string> kExperiments{
    R"({"config": [{"layer": 2, "component": "block_output"}], "base": {"text": ["The Space Needle is in downtown", "The Colosseum is in downtown"]}, "sources": [{"text": "The Colosseum is in"}],
        "unit_locations": {"sources->base": [[[0], [1]], [[1], [2]]]}, "subspaces": [[0, 1, 2]], "output_original_output": false})",
    R"({"config": {"mode": "serial", "representations": [{"layer": 1}, {"layer": 3, "component": "head_value_output", "unit": "h.pos"}]}, "base": {"input_ids": [[5, 6, 7]]}, "sources": [{"input_ids": [[1, 2, 3]]}, {"input_ids": [[1, 2, 3]]}],
        "unit_locations": {"source_0->source_1": {"last": 1}, "source_1->base": {"h": [0, 3], "pos": [0, -1]}}})",
    R"({"config": [{"layer": 0, "intervention_type": "addition"}, {"layer": 5, "intervention_type": "collect"}, {"component": "attention_pattern", "layer": 2, "unit": "h", "intervention_type": "zero"}],
        "base": {"input_ids": [[0, 5, 6]], "attention_mask": [[0, 1, 1]]}, "unit_locations": {"base": [[[1]], [["last"]], [[0]]]}, "source_representations": {"0": [0.5]}, "collect_only": true})"};

TEST(Fuzz, Experiments) {
  const auto lm = vene::models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  const torch::NoGradGuard no_grad;
  Damage damage(5);
  attack(
      1500, [&] { return damage.json(kExperiments[damage.random()() % kExperiments.size()]); },
      [&](const std::string& text) {
        const auto experiment = vene::parse_experiment(text, lm, "/nowhere");
        (void)vene::result_tensors(vene::run_experiment(experiment, lm));
      });
}

}  // namespace
