// SPDX-License-Identifier: Apache-2.0
#include "vene/models/adapt.h"

#include <algorithm>

#include "vene/base/names.h"

namespace vene::models {
namespace {

class Adapted : public Model {
 public:
  Adapted(std::shared_ptr<torch::nn::Module> module, std::function<Output(const Batch&)> forward,
          const AdaptOptions& options)
      : forward_(std::move(forward)), architecture_(options.architecture) {
    SiteTable paths;
    paths.add_paths(*module);
    std::vector<std::string> known;
    for (const Site& site : paths.all()) known.push_back(site.path);
    for (const NamedSite& named : options.sites) {
      const Site* found = paths.try_find(named.path, -1);
      if (found == nullptr)
        throw ModelError("adapt: no hooked module at '" + named.path + "'" + name_hint(named.path, known));
      Site site = *found;
      site.component = named.component;
      site.layer = named.layer;
      site.axes = named.axes;
      site.width = named.width;
      site.calls = named.calls;
      sites_.add(std::move(site));
      if (named.layer >= 0) layers_ = std::max(layers_, named.layer + 1);
    }
    sites_.add_paths(*module);
    register_module("module", std::move(module));
  }
  Output forward(const Batch& batch, const ForwardOptions& options) override {
    if (options.cache != nullptr) throw ModelError(architecture_ + ": a module of one's own has no key-value cache");
    if (!batch.primary().defined()) throw ModelError(architecture_ + ": the batch holds no tensor");
    return forward_(batch);
  }
  std::int64_t layer_count() const override { return layers_; }
  std::string architecture() const override { return architecture_; }

 private:
  std::function<Output(const Batch&)> forward_;
  std::string architecture_;
  std::int64_t layers_ = 0;
};

}  // namespace

std::shared_ptr<Model> adapt(std::shared_ptr<torch::nn::Module> module, std::function<Output(const Batch&)> forward,
                             AdaptOptions options) {
  if (!module || !forward) throw ModelError("adapt: a module and a function that runs it are needed");
  return std::make_shared<Adapted>(std::move(module), std::move(forward), options);
}

}  // namespace vene::models
