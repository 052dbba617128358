// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "helpers.h"
#include "tests/test_folder.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace vene_test {

/// A copy of a golden folder whose config and tensors can be changed.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& name = "llama_mha") {
    config = nlohmann::json::parse(std::ifstream(golden_folder(name) / "config.json"));
    tensors = read_values(golden_folder(name) / "model.safetensors");
  }
  std::string write() const {
    write_to(folder);
    return folder.path();
  }
  void write_to(const TestFolder& place) const {
    place.write("config.json", config.dump());
    write_weights(place);
  }
  void write_weights() const { write_weights(folder); }
  torch::Tensor logits(const vene::models::LoadOptions& options = {}) const {
    return output_of(*vene::models::load(write(), options).model, row_of(three_rows()[0]));
  }
  // The error of loading it: one line.
  std::string refused() const { return refused_as_it_is(write()); }
  static std::string refused_as_it_is(const std::string& path) {
    const std::string what = error_of<vene::Error>([&] { vene::models::load(path); });
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_EQ(error_of<vene::Error>([&] { vene::models::inspect(path); }).empty(), false) << "inspect accepts it";
    return what;
  }

  TestFolder folder;
  nlohmann::json config;
  NamedValues tensors;

 private:
  void write_weights(const TestFolder& place) const {
    vene::io::write_safetensors(place / "model.safetensors", {tensors.begin(), tensors.end()});
  }
};

/// For tests that load golden folders with changes, one after another into one place.
class ChangedCheckpointTest : public testing::Test {
 protected:
  using Change = std::function<void(nlohmann::json& config, NamedValues& tensors)>;

  /// A golden folder, its config and its tensors changed, as the loader makes it.
  std::shared_ptr<vene::models::Model> changed(const std::string& name, const Change& change) {
    Checkpoint checkpoint(name);
    change(checkpoint.config, checkpoint.tensors);
    checkpoint.write_to(folder_);
    return vene::models::load(folder_.path(),
                              {.warn = [this](const std::string& warning) { warnings_.push_back(warning); }})
        .model;
  }
  /// The error of loading it with another value in one field.
  std::string refused(const std::string& name, const std::string& field, const nlohmann::json& value) {
    return model_error([&] { changed(name, [&](nlohmann::json& config, NamedValues&) { config[field] = value; }); });
  }

  TestFolder folder_;
  std::vector<std::string> warnings_;
  vene::models::Batch batch_ = row_of(three_rows()[0]);
};

}  // namespace vene_test
