// SPDX-License-Identifier: Apache-2.0
#include "src/core/generate_json.h"

#include "src/config/json_value.h"
#include "src/config/when.h"
#include "src/core/sampling.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/experiment.h"

namespace vene {
namespace detail {
namespace {

using Json = nlohmann::json;

// The members of one object, each read where it is there and of the right kind.
class Fields {
 public:
  Fields(const Json& json, const std::string& path) : json_(json), path_(path) {
    if (!json.is_object()) throw ConfigError(path + ": expected an object such as {\"max_new_tokens\": 20}, got " + json_text(json));
  }
  const Json* find(const char* key) {
    known_.emplace_back(key);
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  [[noreturn]] void fail(const char* key, const std::string& expected, const Json& came) const {
    throw ConfigError(path_ + "." + key + ": expected " + expected + ", got " + json_text(came));
  }
  void read(const char* key, std::int64_t& into) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX)) fail(key, "an integer", *value);
    into = value->get<std::int64_t>();
  }
  void read(const char* key, double& into) {
    if (const Json* value = find(key)) value->is_number() ? void(into = value->get<double>()) : fail(key, "a number", *value);
  }
  void read(const char* key, bool& into) {
    if (const Json* value = find(key)) value->is_boolean() ? void(into = value->get<bool>()) : fail(key, "true or false", *value);
  }
  // A lone entry or a list.
  template <class T, class Check>
  void read(const char* key, std::vector<T>& into, const char* expected, Check check) {
    const Json* value = find(key);
    if (value == nullptr) return;
    for (const Json& entry : value->is_array() ? *value : Json::array({*value})) {
      if (!check(entry)) fail(key, expected, entry);
      into.push_back(entry.get<T>());
    }
  }
  void refuse_others() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) throw ConfigError(path_ + ": unknown key '" + key + "'" + name_hint(key, known_));
    }
  }

 private:
  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace

GenerateOptions read_generate(const Json& json, const std::string& path, Generation& into) {
  Fields fields(json, path);
  GenerateOptions options;
  fields.read("max_new_tokens", options.max_new_tokens);
  fields.read("temperature", options.temperature);
  fields.read("top_k", options.top_k);
  fields.read("top_p", options.top_p);
  fields.read("repetition_penalty", options.repetition_penalty);
  std::int64_t seed = 0;
  fields.read("seed", seed);
  if (seed < 0) fields.fail("seed", "an integer of at least 0", seed);
  options.seed = static_cast<std::uint64_t>(seed);
  fields.read("ignore_eos", options.ignore_eos);
  fields.read("use_cache", options.use_cache);
  fields.read("stop_tokens", options.stop_tokens, "token ids", [](const Json& entry) { return entry.is_number_integer(); });
  fields.read("stop_texts", options.stop_texts, "texts", [](const Json& entry) { return entry.is_string(); });
  if (const Json* when = fields.find("when")) into.when = when_from_json(*when, path + ".when");
  if (const Json* steps = fields.find("source_steps")) {
    if (*steps == "same") {
      into.source_steps = SourceSteps::kSame;
    } else if (*steps != "prompt") {
      fields.fail("source_steps", "\"prompt\" or \"same\"", *steps);
    }
  }
  // pyvene's spelling: true is the prompt (every pass for interventions without locations), false the decoding steps.
  if (const Json* prompt = fields.find("intervene_on_prompt")) {
    if (!prompt->is_boolean()) fields.fail("intervene_on_prompt", "true or false", *prompt);
    if (into.when) throw ConfigError(path + ": 'when' and 'intervene_on_prompt' are two ways to say one thing; give one");
    if (!prompt->get<bool>()) into.when = When::decode();
  }
  fields.refuse_others();
  check_options(options);
  return options;
}

}  // namespace detail

io::NamedTensors result_tensors(const GenerateResult& result) {
  io::NamedTensors tensors;
  if (result.original) tensors.emplace_back("original.ids", result.original->ids());
  tensors.emplace_back("intervened.ids", result.intervened.ids());
  for (std::size_t i = 0; i < result.collected.size(); ++i) {
    for (const auto& [step, value] : result.collected[i].steps) tensors.emplace_back("collected." + std::to_string(i) + "." + std::to_string(step), value);
  }
  return tensors;
}

std::string result_texts(const GenerateResult& result, const models::LanguageModel& model) {
  if (!model.tokenizer) return {};
  nlohmann::ordered_json json;
  for (const GeneratedRow& row : result.intervened.rows) {
    json["prompts"].push_back(model.tokenizer->decode({row.ids.begin(), row.ids.begin() + row.prompt_length}));
  }
  auto texts = [&](const char* name, const Generated& generated) {
    for (const GeneratedRow& row : generated.rows) json[name].push_back(row.text);
  };
  if (result.original) texts("original", *result.original);
  texts("intervened", result.intervened);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace vene
