// SPDX-License-Identifier: Apache-2.0
#include "vene/train/spec.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "src/base/at_place.h"
#include "src/core/experiment_json.h"
#include "src/locations/parse.h"
#include "src/train/options.h"
#include "src/train/shuffle.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::train {
namespace {

namespace fs = std::filesystem;
using detail::item;
using detail::Json;
using detail::json_text;
using detail::JsonReader;

constexpr const char* kExample = R"({"base": "...", "sources": ["..."], "label": " Paris"})";

// What an example takes from the spec where it says nothing itself.
struct Common {
  std::optional<Locations> locations;
  std::vector<std::optional<SubspaceIds>> subspaces;
};

models::Batch read_row(const JsonReader& json, const models::LanguageModel& model) {
  const models::Batch batch = detail::read_batch(json, model);
  if (batch.rows() != 1) json.fail("expected one text or one row, got " + std::to_string(batch.rows()));
  return batch.to(model.model->device());
}

// The text of an example's base, where it is given as one.
std::optional<std::string> text_of(const Json& base) {
  const Json* text = base.is_string() ? &base : base.is_object() && base.contains("text") ? &base["text"] : nullptr;
  return text != nullptr && text->is_string() ? std::optional(text->get<std::string>()) : std::nullopt;
}

// The one token that a text is; where it is more by itself, the one that goes on from the text in front of it, which
// tokenizers may cut otherwise.
std::int64_t read_token(const JsonReader& json, const models::LanguageModel& model,
                        const std::optional<std::string>& before = {}) {
  const std::string expected = "a token's text or its id";
  if (json.json().is_number_integer()) return json.integer(expected);
  const std::string text = json.text(expected);
  if (!model.tokenizer) json.fail("this model has no tokenizer; give the token's id");
  const std::vector<std::int64_t> ids = model.tokenizer->encode(text, false);
  if (ids.size() != 1 && before) {
    const std::vector<std::int64_t> front = model.tokenizer->encode(*before, false),
                                    whole = model.tokenizer->encode(*before + text, false);
    if (whole.size() == front.size() + 1 && std::equal(front.begin(), front.end(), whole.begin())) return whole.back();
  }
  if (ids.size() != 1)
    json.fail("expected the text of one token, " + json_text(json.json()) + " has " + std::to_string(ids.size()));
  return ids[0];
}

// `name` is "label" or "task_label", with an s for several.
std::vector<Label> read_labels(JsonReader& example, const std::string& name, const models::LanguageModel& model,
                               const std::optional<std::string>& before) {
  const auto one = example.find(name), several = example.find(name + "s");
  if (one && several) example.fail("expected either '" + name + "' or '" + name + "s'");
  if (one) return {{read_token(*one, model, before), -1}};
  if (!several) return {};
  const std::string expected = R"(a list such as [{"token": " Paris", "position": -1}])";
  std::vector<Label> labels;
  for (JsonReader label : several->each(expected)) {
    label.expect_object(R"({"token": " Paris", "position": -1})");
    const auto token = label.find("token");
    if (!token) label.fail("'token' is missing");
    labels.push_back({read_token(*token, model), -1});
    label.read("position", labels.back().position);
    label.refuse_others();
  }
  if (labels.empty()) several->expected(expected);
  return labels;
}

Example read_example(JsonReader json, const Common& common, const models::LanguageModel& model) {
  json.expect_object(kExample);
  Example example;
  example.name = json.path();
  example.tokenizer = model.tokenizer.get();
  const auto base = json.find("base");
  if (!base) json.fail("'base' is missing");
  example.base = read_row(*base, model);
  if (const auto sources = json.find("sources")) {
    example.sources = detail::read_sources(*sources, [&](const JsonReader& source) { return read_row(source, model); });
  }
  const auto locations = json.find("unit_locations");
  if (!locations && !common.locations) json.fail("'unit_locations' is missing, here and in the spec");
  example.locations = locations
                          ? detail::at_place(json.path(), [&] { return detail::parse_locations(locations->json()); })
                          : *common.locations;
  const auto subspaces = json.find("subspaces");
  example.subspaces = subspaces ? detail::read_subspaces(*subspaces) : common.subspaces;
  const std::optional<std::string> before = text_of(base->json());
  example.labels = read_labels(json, "label", model, before);
  if (example.labels.empty()) json.fail("expected either 'label' or 'labels'");
  example.task_labels = read_labels(json, "task_label", model, before);
  if (const auto rival = json.find("rival")) example.rival = read_token(*rival, model, before);
  json.refuse_others();
  return example;
}

// One example a line.
std::vector<Example> read_lines(const std::string& file, const Common& common, const models::LanguageModel& model) {
  std::vector<Example> examples;
  const std::string text = io::read_file(file);
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string here = file + ", line " + std::to_string(line + 1);
    const Json json = detail::read_json<ConfigError>(row, here);
    examples.push_back(read_example(JsonReader(json, here), common, model));
  }
  return examples;
}

// A list in place, or a file of one example a line.
std::vector<Example> read_examples(const JsonReader& json, const Common& common, const std::string& folder,
                                   const models::LanguageModel& model) {
  std::vector<Example> examples;
  const std::string expected = "a list of examples or the name of a .jsonl file";
  if (json.json().is_string()) {
    examples = read_lines((fs::path(folder) / json.text()).string(), common, model);
  } else {
    for (const JsonReader& example : json.each(expected)) examples.push_back(read_example(example, common, model));
  }
  if (examples.empty()) json.fail("there are no examples");
  return examples;
}

void read_options(JsonReader json, TrainOptions& options) {
  json.expect_object(R"({"epochs": 10, "learning_rate": 1e-3})");
  visit(options, detail::ReadOptions(json));
  json.refuse_others();
}

void read_trained_parts(const JsonReader& json, TrainSpec& spec) {
  if (json.json().is_boolean()) {
    spec.train_model = json.boolean();
    return;
  }
  const std::string expected = "true, false or a list of names of parameters";
  spec.train_model = true;
  for (const JsonReader& part : json.each(expected))
    spec.model_parts.push_back(part.text("how the names of parameters begin"));
  if (spec.model_parts.empty()) json.expected(expected);
}

// Moves a share of the examples, drawn by the seed, to the validation set.
void hold_out(double share, std::uint64_t seed, std::vector<Example>& examples, std::vector<Example>& validation) {
  detail::shuffle(examples, seed);
  const auto held = static_cast<std::size_t>(share * static_cast<double>(examples.size()) + 0.5);
  if (held == 0 || held == examples.size()) {
    throw ConfigError("validation: a share of " + std::to_string(share) + " of " + std::to_string(examples.size()) +
                      " examples leaves one of the two sets empty");
  }
  validation.assign(std::make_move_iterator(examples.end() - static_cast<std::ptrdiff_t>(held)),
                    std::make_move_iterator(examples.end()));
  examples.resize(examples.size() - held);
}

}  // namespace

TrainSpec parse_train_spec(std::string_view text, const models::LanguageModel& model, const std::string& folder,
                           const InterventionRegistry& registry) {
  const Json json = detail::read_json<ConfigError>(text, "spec");
  JsonReader root = JsonReader::root(json, "spec");
  root.expect_object("");
  root.refuse_others({"config", "examples", "validation", "test", "unit_locations", "subspaces", "training",
                      "train_model", "description"});
  const JsonReader config = root.at("config"), examples = root.at("examples");
  TrainSpec spec;
  spec.config = detail::read_config(config, model, registry, folder, spec.config_folder);
  if (const auto training = root.given("training")) read_options(*training, spec.options);
  Common common;
  if (const auto locations = root.given("unit_locations"))
    common.locations = detail::parse_locations(locations->json());
  if (const auto subspaces = root.given("subspaces")) common.subspaces = detail::read_subspaces(*subspaces);
  spec.examples = read_examples(examples, common, folder, model);
  const auto validation = root.given("validation");
  if (validation && validation->json().is_number()) {
    const double share = validation->number();
    if (!(share > 0 && share < 1)) validation->expected("a share between 0 and 1, a list of examples or a file");
    hold_out(share, spec.options.seed, spec.examples, spec.validation);
  } else if (validation) {
    spec.validation = read_examples(*validation, common, folder, model);
  }
  if (const auto test = root.given("test")) spec.test = read_examples(*test, common, folder, model);
  if (const auto parts = root.given("train_model")) read_trained_parts(*parts, spec);
  if (spec.options.patience > 0 && spec.validation.empty())
    throw ConfigError("training.patience: needs a 'validation' set");
  return spec;
}

TrainSpec load_train_spec(const std::string& path, const models::LanguageModel& model,
                          const InterventionRegistry& registry) {
  const std::string folder = fs::path(path).parent_path().string();
  const std::string text = io::read_file(path);
  return detail::at_place(path, [&] { return parse_train_spec(text, model, folder.empty() ? "." : folder, registry); });
}

IntervenableModel make_intervenable(const TrainSpec& spec, const models::LanguageModel& model,
                                    const InterventionRegistry& registry) {
  IntervenableModel made =
      spec.config_folder.empty()
          ? IntervenableModel(std::make_shared<IntervenableModelImpl>(spec.config, model.model, registry))
          : IntervenableModel(IntervenableModelImpl::load(spec.config_folder, model.model, registry));
  if (spec.train_model) made->enable_model_gradients(spec.model_parts);
  return made;
}

}  // namespace vene::train
