// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "src/base/json.h"
#include "src/cli/command.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/hooks/hook_scope.h"
#include "vene/io/safetensors.h"

namespace vene::cli {
namespace {

using Values = std::map<std::string, torch::Tensor>;

struct Options {
  ModelChoice model;
  std::string reference;
  double tolerance = 0;
  bool json = false;
  bool sites = false;
};

struct Reference {
  Values values;
  std::string rounded;  // the type that its weights were rounded to before it was computed in float32; empty: none
  std::string fit;      // the half types that hold every weight of it exactly, joined by commas
};

struct Compared {
  std::string name, component;
  std::int64_t layer = -1;
  double error = 0;
};

const std::set<std::string> kInputs{"input_ids", "attention_mask", "inputs_embeds", "greedy"};

Reference read_reference(const std::string& path) {
  const io::Safetensors file = io::Safetensors::open(path);
  Values values;
  for (const io::TensorInfo& info : file.tensors()) values[info.name] = file.tensor(info.name).clone();
  if (!values.contains("input_ids") && !values.contains("inputs_embeds")) {
    throw IoError(path +
                  ": expected reference activations with input_ids or inputs_embeds; scripts/reference_activations.py "
                  "makes such files");
  }
  const auto said = [&](const char* field) {
    const auto found = file.metadata().find(field);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  return {std::move(values), said("weights_rounded_to"), said("weights_fit")};
}

// A half type rounds the weights, and so the errors are the port's alone only where the reference has the same rounded
// weights.
void tell_rounding(const models::Model& model, const Reference& reference) {
  const std::string type = model.dtype() == torch::kBFloat16  ? "bfloat16"
                           : model.dtype() == torch::kFloat16 ? "float16"
                                                              : "";
  if (type.empty() ? reference.rounded.empty()
                   : ("," + reference.fit + ",").find("," + type + ",") != std::string::npos)
    return;
  if (reference.rounded.empty()) {
    note("the reference has the weights as they are, so the errors include their rounding to " + type + "; --round " +
         type + " of scripts/reference_activations.py leaves it out");
  } else {
    note("the reference has weights rounded to " + reference.rounded +
         ", so the errors include that rounding; give --dtype " + reference.rounded);
  }
}

std::string name_of(const Site& site) {
  return site.layer < 0 ? site.component : site.component + "." + std::to_string(site.layer);
}

// What the model's named sites and its output hold; a head name is the same value under a second name and is left out.
Values run_watched(models::Model& model, const models::Batch& batch) {
  Values values;
  HookTable table;
  for (const Site& site : model.sites().all()) {
    if (site.component.empty() || site.component.starts_with("head_")) continue;
    const std::string name = name_of(site);
    table.on(
        site.id, site.phase, [&values, name](const HookContext& context) { values[name] = context.value().clone(); },
        name);
  }
  const HookScope scope(table);
  const models::Output output = model.forward(batch);
  if (output.logits.defined()) values["logits"] = output.logits;
  if (output.last_hidden_state.defined()) values["last_hidden_state"] = output.last_hidden_state;
  return values;
}

// Largest difference over the largest expected magnitude; infinite where something is not a number.
double relative_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  if (expected.numel() == 0) return 0;
  const torch::Tensor a = actual.to(torch::kCPU, torch::kFloat64), b = expected.to(torch::kCPU, torch::kFloat64);
  const double error =
      ((a - b).abs().max() / b.abs().max().clamp_min(std::numeric_limits<double>::min())).item<double>();
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

// Values at padded positions mean nothing, and hidden scores are a lowest number, each library its own.
double compare(const std::string& name, torch::Tensor actual, torch::Tensor expected, const torch::Tensor& real) {
  // A classifier drops the axis of its one position after the site.
  if (name == "logits" && actual.dim() == expected.dim() + 1 && actual.size(1) == 1) actual = actual.squeeze(1);
  if (actual.sizes() != expected.sizes()) {
    throw ModelError("verify: " + name + " is " + shape_text(actual.sizes()) + " here and " +
                     shape_text(expected.sizes()) + " in the reference");
  }
  actual = actual.to(torch::kCPU);
  const bool scores = name.starts_with("attention_scores");
  if (scores) {
    constexpr double kHidden = -1e4;  // in every type, the lowest number is far below it, and no score is
    const torch::Tensor hidden = expected < kHidden;
    actual = actual.masked_fill(hidden, 0);
    expected = expected.masked_fill(hidden, 0);
  }
  if (scores || name.starts_with("attention_pattern")) {
    actual = actual.transpose(1, 2);
    expected = expected.transpose(1, 2);
  }
  if (real.defined() && expected.dim() > 1 && expected.size(1) == real.size(1)) {
    actual = actual.index({real});
    expected = expected.index({real});
  }
  return relative_error(actual, expected);
}

// How many of the reference's greedy tokens [1, prompt + written] the model writes too, up to the first that differs.
std::int64_t equal_tokens(models::Model& model, const torch::Tensor& text, std::int64_t prompt) {
  models::KeyValueCache cache;
  models::Batch next;
  next.input_ids = text.narrow(1, 0, prompt).to(model.device());
  std::int64_t equal = 0;
  for (; prompt + equal < text.size(1); ++equal) {
    Interruptible::check();
    next.input_ids = model.forward(next, {&cache, 1}).logits.select(1, -1).argmax(-1, true);
    if (next.input_ids.item<std::int64_t>() != text[0][prompt + equal].item<std::int64_t>()) break;
  }
  return equal;
}

std::vector<Compared> compare_all(models::Model& model, const Values& reference) {
  models::Batch batch;
  const auto take = [&](const char* name, torch::Tensor& place) {
    if (reference.contains(name)) place = reference.at(name);
  };
  take("input_ids", batch.input_ids);
  take("attention_mask", batch.attention_mask);
  take("inputs_embeds", batch.inputs_embeds);
  torch::Tensor real;
  if (batch.attention_mask.defined()) real = batch.attention_mask.to(torch::kBool);
  const Values values = run_watched(model, batch.to(model.device()));
  std::vector<Compared> compared;
  for (const Site& site : model.sites().all()) {
    const std::string name = name_of(site);
    if (site.component.empty() || site.component.starts_with("head_") || !values.contains(name) ||
        !reference.contains(name))
      continue;
    compared.push_back({name, site.component, site.layer, compare(name, values.at(name), reference.at(name), real)});
  }
  if (reference.contains("last_hidden_state") && values.contains("last_hidden_state")) {
    compared.push_back(
        {"last_hidden_state", "last_hidden_state", -1,
         compare("last_hidden_state", values.at("last_hidden_state"), reference.at("last_hidden_state"), real)});
  }
  std::vector<std::string> known;
  for (const auto& [name, value] : values) known.push_back(name);
  for (const auto& [name, value] : reference) {
    if (!kInputs.contains(name) && !values.contains(name))
      throw ModelError("verify: the reference has '" + name + "', and this model has no such site" +
                       name_hint(name, known));
  }
  return compared;
}

void print_table(const std::vector<Compared>& compared, double tolerance) {
  std::printf("%-24s %7s %10s %s\n", "component", "layers", "error", "worst at");
  std::set<std::string> done;
  for (const Compared& first : compared) {
    if (!done.insert(first.component).second) continue;
    const Compared* worst = &first;
    std::int64_t layers = 0;
    for (const Compared& other : compared) {
      if (other.component != first.component) continue;
      ++layers;
      if (other.error > worst->error) worst = &other;
    }
    const std::string at = first.layer < 0 ? "" : "layer " + std::to_string(worst->layer);
    std::printf("%-24s %7s %10.1e %s%s\n", first.component.c_str(),
                first.layer < 0 ? "" : std::to_string(layers).c_str(), worst->error, at.c_str(),
                worst->error > tolerance ? "  beyond the tolerance" : "");
  }
}

void print_sites(const std::vector<Compared>& compared, double tolerance) {
  std::printf("%-28s %10s\n", "site", "error");
  for (const Compared& entry : compared)
    std::printf("%-28s %10.1e%s\n", entry.name.c_str(), entry.error,
                entry.error > tolerance ? "  beyond the tolerance" : "");
}

void verify(const Options& options, bool tolerance_given) {
  const Reference given = read_reference(options.reference);
  const Values& reference = given.values;
  const Interruptible stops;
  ModelChoice choice = options.model;
  if (choice.dtype.empty()) choice.dtype = "float32";
  const models::LanguageModel lm = choice.load();
  tell_rounding(*lm.model, given);
  const torch::NoGradGuard no_grad;
  // A device sums in another order than the library that the reference came from.
  constexpr double kExact = 1e-5, kOnDevice = 1e-4, kHalf = 2e-2;
  const double exact = options.model.tf32 ? kHalf : lm.model->device().is_cpu() ? kExact : kOnDevice;
  const double tolerance = tolerance_given ? options.tolerance : lm.model->dtype() == torch::kFloat32 ? exact : kHalf;
  const Timed comparing("values: compared");
  const std::vector<Compared> compared = compare_all(*lm.model, reference);
  comparing.done();
  Interruptible::check();
  const auto worst = std::max_element(compared.begin(), compared.end(),
                                      [](const Compared& a, const Compared& b) { return a.error < b.error; });
  if (worst == compared.end()) throw IoError(options.reference + ": there is no value to compare with");
  std::int64_t greedy = -1, tokens = 0;
  if (reference.contains("greedy") && reference.contains("input_ids")) {
    const std::int64_t prompt = reference.at("input_ids").size(1);
    tokens = reference.at("greedy").size(1) - prompt;
    greedy = equal_tokens(*lm.model, reference.at("greedy"), prompt);
  }
  const auto beyond = std::count_if(compared.begin(), compared.end(),
                                    [&](const Compared& entry) { return !(entry.error <= tolerance); });
  const bool other_text = greedy >= 0 && greedy < tokens && lm.model->dtype() == torch::kFloat32;
  if (options.json) {
    nlohmann::ordered_json report{{"architecture", lm.model->architecture()},
                                  {"dtype", std::string(c10::toString(lm.model->dtype()))},
                                  {"tolerance", tolerance},
                                  {"equal", beyond == 0 && !other_text},
                                  {"worst", {{"site", worst->name}, {"error", worst->error}}}};
    for (const Compared& entry : compared) report["errors"][entry.name] = entry.error;
    if (greedy >= 0) report["greedy"] = {{"equal", greedy}, {"tokens", tokens}};
    std::printf("%s\n", detail::written_json(report).c_str());
  } else if (!loudness().quiet) {
    options.sites ? print_sites(compared, tolerance) : print_table(compared, tolerance);
    if (greedy >= 0)
      std::printf("greedy decoding: %lld of %lld tokens are equal\n", static_cast<long long>(greedy),
                  static_cast<long long>(tokens));
    if (beyond == 0 && !other_text) {
      std::printf("equal to the reference: %zu values within %g, the worst is %s with %.1e\n", compared.size(),
                  tolerance, worst->name.c_str(), worst->error);
    }
  }
  char text[96];
  if (beyond > 0) {
    std::snprintf(text, sizeof text, " with an error of %.1e, the tolerance is %g", worst->error, tolerance);
    throw ModelError("verify: " + std::to_string(beyond) + " of " + std::to_string(compared.size()) +
                     " values differ from the reference, most of all " + worst->name + text);
  }
  if (other_text) {
    throw ModelError("verify: greedy decoding differs from the reference at token " + std::to_string(greedy) + " of " +
                     std::to_string(tokens));
  }
}

}  // namespace

void add_verify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("verify", "Compare a model's values, site by site, with activations saved from transformers");
  options->model.add_to(*command);
  command->add_option("--reference", options->reference, "File of scripts/reference_activations.py")
      ->required()
      ->type_name("FILE");
  auto* tolerance =
      command
          ->add_option("--tolerance", options->tolerance,
                       "Largest relative error allowed (default: 1e-5 in float32, 1e-4 on a GPU, 2e-2 in half types "
                       "and TF32)")
          ->check(CLI::Range(0.0, 1e9))
          ->type_name("X");
  command->get_option("--dtype")->description(
      "float32, bfloat16 or float16 (default: float32, whatever the checkpoint's is)");
  auto* sites = command->add_flag("--sites", options->sites, "Print a line for every site instead of every component");
  command->add_flag("--json", options->json, "Print the error of every site as JSON")->excludes(sites);
  command->footer(
      "The error is the largest difference over the largest magnitude in the reference. In a half type it includes the "
      "rounding of the weights,\n"
      "unless the reference was made with --round and that type.\n"
      "Example: vene verify -m tests/golden/models/gpt2_tied --reference "
      "tests/golden/models/gpt2_tied/reference.safetensors");
  command->callback([options, tolerance] { verify(*options, tolerance->count() > 0); });
}

}  // namespace vene::cli
