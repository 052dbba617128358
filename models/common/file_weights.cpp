// SPDX-License-Identifier: Apache-2.0
#include "models/common/file_weights.h"

#include <algorithm>
#include <array>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

// What wrappers put before every name of a module: DataParallel, torch.compile, PEFT, TRL, Lightning, DeepSpeed,
// sentence-transformers, and models that hold a language model among other parts.
constexpr std::array<std::string_view, 12> kWrappers{
    "module.",         "_orig_mod.",   "base_model.model.", "pretrained_model.", "_forward_module.", "model.",
    "language_model.", "transformer.", "base_model.",       "0.auto_model.",     "auto_model.",      "net."};
// What they put inside names.
constexpr std::array<std::string_view, 4> kInside{"_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.",
                                                  "_forward_module."};

using Names = std::vector<std::pair<std::string, torch::Tensor>>;

std::string without_inside(std::string name) {
  for (const std::string_view part : kInside) {
    for (std::size_t at = name.find(part); at != std::string::npos; at = name.find(part, at))
      name.erase(at, part.size());
  }
  return name;
}

bool is_ignored(const std::string& name, const Family& family) {
  return std::any_of(family.ignored.begin(), family.ignored.end(),
                     [&](const std::string& ending) { return name.ends_with(ending); });
}

// A tensor's name as it is spelt here.
std::string spelt_here(std::string name, const Family& family) {
  for (const auto& [there, here] : family.renamed) {
    if (const std::size_t at = name.find(there); at != std::string::npos) name.replace(at, there.size(), here);
  }
  return name;
}

// What stands before the names of this family's model, perhaps several wrappers; empty where they are right, with or
// without a head.
std::string wrapper_of(const std::vector<std::string>& names, const Family& family) {
  const auto any = [&](const std::string& start) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(start); });
  };
  const auto all = [&](const std::string& start) {
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(start); });
  };
  std::string wrapper;
  for (bool found = true; found && !names.empty() && !family.prefix.empty();) {
    found = false;
    for (const std::string_view candidate : kWrappers) {
      const std::string longer = wrapper + std::string(candidate);
      const bool whole = any(longer + family.prefix);
      const bool headless = longer != family.prefix && !any(wrapper + family.prefix) && all(longer);
      if (!whole && !headless) continue;
      wrapper = longer;
      found = true;
      break;
    }
  }
  return wrapper;
}

}  // namespace

FileWeights named_weights(const io::NamedTensors& tensors, const Family& family, const std::string& where) {
  FileWeights weights;
  std::vector<std::string> plain;  // names without what stands inside them
  std::vector<std::string> counted;
  for (const auto& [name, tensor] : tensors) {
    plain.push_back(without_inside(name));
    if (!is_ignored(name, family)) counted.push_back(plain.back());
  }
  weights.wrapper = wrapper_of(counted, family);
  for (std::string& name : plain) {
    if (name.starts_with(weights.wrapper)) name.erase(0, weights.wrapper.size());
  }
  const bool headless = !family.prefix.empty() && std::none_of(plain.begin(), plain.end(), [&](const auto& name) {
    return name.starts_with(family.prefix);
  });
  if (headless) weights.prefix = family.prefix;
  const std::string heads = family.head.substr(0, family.head.find('.') + 1);  // "cls." of "cls.predictions.decoder"
  for (const bool other_spelling : {false, true}) {  // last, so that a name which is right already wins
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::string spelt = spelt_here(plain[i], family);
      if (is_ignored(plain[i], family) || (spelt != plain[i]) != other_spelling) continue;
      const bool of_the_head = spelt.starts_with(family.head + ".") || (!heads.empty() && spelt.starts_with(heads));
      const std::string here = of_the_head ? spelt : weights.prefix + spelt;
      const auto [place, fresh] = weights.file_names.emplace(here, tensors[i].first);
      if (fresh) weights.tensors.emplace(here, tensors[i].second);
      if (!fresh && !other_spelling)
        throw ModelError(where + ": holds " + ("\'" + place->second + "\'") + " and " +
                         ("\'" + tensors[i].first + "\'") + ", which are one tensor of this model");
    }
  }
  return weights;
}

std::string FileWeights::in_file(const std::string& here) const {
  if (const auto known = file_names.find(here); known != file_names.end()) return known->second;
  const std::string inner = here.starts_with(prefix) ? here.substr(prefix.size()) : here;
  const std::string name = wrapper + inner;
  const auto lacking = absent.find(name);
  return lacking == absent.end() ? name : name + " (which the index places in " + ("\'" + lacking->second + "\'") + ")";
}

}  // namespace vene::models
