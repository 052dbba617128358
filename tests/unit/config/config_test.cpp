// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "src/config/fields.h"
#include "src/interventions/field_names.h"
#include "vene/base/error.h"
#include "vene/config/intervenable_config.h"

namespace vene {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

void expect_error(const std::string& json, const std::string& text,
                  const InterventionRegistry& registry = InterventionRegistry::standard()) {
  EXPECT_THAT([&] { IntervenableConfig::parse(json, registry); }, ThrowsMessage<ConfigError>(HasSubstr(text))) << json;
}

class Multiply : public Intervention {
 public:
  explicit Multiply(const InterventionSettings& settings)
      : Intervention(settings), factor(std::get<double>(settings.options.at("factor"))) {}
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace&) override {
    return base * factor;
  }
  double factor;
};

// A registry of its own: tests don't change the program's.
struct OwnRegistry {
  InterventionRegistry registry;
  OwnRegistry() {
    register_builtin_interventions(registry);
    registry.add({"multiply",
                  "Multiplies by a constant.",
                  {{"factor", OptionType::kNumber, std::nullopt, "What to multiply by."},
                   {"offsets", OptionType::kTensor, OptionValue(torch::zeros({1})), "Unused."}},
                  [](const InterventionSettings& settings) { return std::make_shared<Multiply>(settings); },
                  {}});
  }
};

TEST(ConfigTest, DefaultsArePyvenes) {
  const IntervenableConfig config = IntervenableConfig::parse(R"({"representations": [{}]})");
  const RepresentationConfig& r = config.representations.at(0);
  EXPECT_EQ(r.layer, 0);
  EXPECT_EQ(r.component, "block_output");
  EXPECT_EQ(r.unit, "pos");
  EXPECT_EQ(r.max_number_of_units, 1);
  EXPECT_EQ(config.type_of(0), "vanilla");
  EXPECT_EQ(config.mode, Mode::kParallel);
}

TEST(ConfigTest, ShorthandsMeanTheSame) {
  const IntervenableConfig full =
      IntervenableConfig::parse(R"({"representations": [{"layer": 1, "component": "mlp_output"}]})");
  EXPECT_EQ(IntervenableConfig::parse(R"({"layer": 1, "component": "mlp_output"})"), full);
  EXPECT_EQ(IntervenableConfig::parse(R"([{"layer": 1, "component": "mlp_output"}])"), full);
  EXPECT_EQ(IntervenableConfig::parse(R"({"representations": {"layer": 1, "component": "mlp_output"}})"), full);
  EXPECT_EQ(IntervenableConfig::parse(R"({"component": "transformer.h[1].mlp.output"})").representations[0].component,
            "transformer.h[1].mlp.output");
}

TEST(ConfigTest, PyvenesPositionalListsAreRead) {
  const IntervenableConfig now =
      IntervenableConfig::parse(R"({"intervention_types": ["<class 'pyvene.models.interventions.VanillaIntervention'>"],
      "representations": [[1, "mlp_output", "h.pos", 3, 2, null, null, [[0, 2], [2, 8]], 0, 1, null, null, true, 64]], "mode": "serial", "transformers_version": "5.23.0",
      "sorted_keys": ["layer_1_comp_mlp_output_unit_h_pos_nunit_3#0"], "intervention_dimensions": [8], "intervention_constant_sources": [true]})");
  const RepresentationConfig& r = now.representations[0];
  EXPECT_EQ(r.layer, 1);
  EXPECT_EQ(r.unit, "h.pos");
  EXPECT_EQ(r.max_number_of_units, 3);
  EXPECT_EQ(r.low_rank_dimension, 2);
  EXPECT_EQ(r.subspace_partition, (SubspacePartition{{0, 1}, {2, 3, 4, 5, 6, 7}}));
  EXPECT_EQ(r.group_key, ConfigKey(std::int64_t{0}));
  EXPECT_EQ(r.intervention_link_key, ConfigKey(std::int64_t{1}));
  EXPECT_TRUE(r.hidden_source_representation);
  EXPECT_EQ(r.latent_dim, 64);
  EXPECT_EQ(now.type_of(0), "vanilla");
  EXPECT_EQ(now.mode, Mode::kSerial);
  EXPECT_EQ(now.intervention_dimensions[0], 8);
  const IntervenableConfig thirteen = IntervenableConfig::parse(
      R"([[1, "mlp_output", "pos", 1, null, null, null, null, null, null, null, null, null]])");
  EXPECT_EQ(thirteen.representations[0].component, "mlp_output");
  const IntervenableConfig eight = IntervenableConfig::parse(R"([[1, "mlp_output", "pos", 1, 4, [[0, 2]], null, 7]])");
  EXPECT_EQ(eight.representations[0].subspace_partition, (SubspacePartition{{0, 1}}))
      << "the old layout has the partition sixth";
  EXPECT_EQ(eight.representations[0].intervention_link_key, ConfigKey(std::int64_t{7}));
}

TEST(ConfigTest, KeysArePyvenes) {
  const IntervenableConfig config = IntervenableConfig::parse(
      R"([{"layer": 1}, {"layer": 1}, {"layer": 0, "component": "mlp_output", "max_number_of_units": 3},
                                                                  {"component": "transformer.h[0].mlp.output", "unit": "h.pos"}])");
  EXPECT_THAT(representation_keys(config),
              ElementsAre("layer_1_comp_block_output_unit_pos_nunit_1#0",
                          "layer_1_comp_block_output_unit_pos_nunit_1#1", "layer_0_comp_mlp_output_unit_pos_nunit_3#0",
                          "comp_transformer_h[0]_mlp_output_unit_h_pos_nunit_1#0"));
}

TEST(ConfigTest, WritingAndReadingBackGivesAnEqualConfig) {
  const OwnRegistry own;
  const char* json =
      R"({"mode": "serial", "intervention_types": "zero", "model_type": "gpt2", "sorted_keys": ["a", "b", "c"], "intervention_dimensions": [null, 3, null],
    "intervention_constant_sources": [true, false, true],
    "representations": [{"layer": 2, "component": "mlp_output", "unit": "pos", "group_key": "x", "subspace_partition": [[0, 3], {"columns": [4, 9]}, [7, 5, 6]]},
                        {"intervention_type": "multiply", "factor": 0.1, "offsets": [[1, 2], [3, 4]], "group_key": "y", "intervention_link_key": 3},
                        {"intervention_type": "addition", "source_representation": [0.1, 0.2, 1e-7], "group_key": "y", "low_rank_dimension": 4, "latent_dim": 5}]})";
  const IntervenableConfig config = IntervenableConfig::parse(json, own.registry);
  const IntervenableConfig again = IntervenableConfig::parse(config.to_json(), own.registry);
  EXPECT_TRUE(config == again) << config.to_json();
  EXPECT_EQ(config.to_json(), again.to_json());
  IntervenableConfig other = again;
  other.representations[2].source_representation = other.representations[2].source_representation + 1;
  EXPECT_FALSE(config == other);
}

TEST(ConfigTest, UserClassesTakeTheirOptionsAsFields) {
  const OwnRegistry own;
  const IntervenableConfig config =
      IntervenableConfig::parse(R"([{"intervention_type": "multiply", "factor": 2}])", own.registry);
  EXPECT_EQ(std::get<double>(config.representations[0].options.at("factor")), 2.0);
  expect_error(R"([{"intervention_type": "multiply"}])",
               "representations[0]: intervention 'multiply' needs the option 'factor': What to multiply by.",
               own.registry);
  expect_error(R"([{"intervention_type": "multiply", "factor": "x"}])",
               "representations[0].factor: expected a number, got \"x\"", own.registry);
  expect_error(R"([{"intervention_type": "multiply", "facter": 1, "factor": 1}])",
               "unknown field 'facter'; did you mean 'factor'", own.registry);
  expect_error(R"([{"intervention_type": "zero", "factor": 1}])", "unknown field 'factor'", own.registry);
}

TEST(ConfigTest, AddInterventionAppendsAndChains) {
  IntervenableConfig config;
  config.add_intervention({.layer = 1}).add_intervention({.layer = 2, .intervention_type = "zero"});
  EXPECT_EQ(config.representations.size(), 2U);
  EXPECT_EQ(config.type_of(0), "vanilla");
  EXPECT_EQ(config.type_of(1), "zero");
}

TEST(ConfigTest, EveryProblemIsReportedAtOnceWithItsPath) {
  const std::string json =
      R"({"mode": "serail", "representations": [{"layer": -1, "unit": "poss"}, {"componnent": "x", "intervention_type": "vanila"}]})";
  EXPECT_THAT(
      [&] { IntervenableConfig::parse(json); },
      ThrowsMessage<ConfigError>(AllOf(
          HasSubstr("representations[0].layer: expected an integer of at least 0, got -1"),
          HasSubstr("representations[0].unit: unknown unit 'poss'; did you mean 'pos'?"),
          HasSubstr(
              "representations[1].intervention_type: unknown intervention type 'vanila'; did you mean 'vanilla'?"),
          HasSubstr("mode: unknown mode 'serail'; did you mean 'serial'?"))));
}

TEST(ConfigTest, WrongThingsAreNamed) {
  expect_error("", "not JSON");
  expect_error("{", "not JSON");
  expect_error("3", "config: expected an object");
  expect_error("[]", "representations: expected at least one representation, got []");
  expect_error(R"({"mode": "serial"})", "'representations' is missing");
  expect_error(R"({"representations": [{}], "moode": 1})", "unknown key 'moode'; did you mean 'mode'?");
  expect_error(R"([{"layer": 0, "layer": 1}])", "key 'layer' is given twice");
  expect_error(R"([{"layer": 1.5}])", "representations[0].layer: expected an integer");
  expect_error(R"([{"layer": 99999999999999999999}])", "representations[0].layer: expected an integer");
  expect_error(R"([{"layer": "1"}])", "expected an integer of at least 0, a list of them, or \"all\", got \"1\"");
  expect_error(R"([{"component": 1}])", "representations[0].component: expected a component name or path, got 1");
  expect_error(R"([{"max_number_of_units": 0}])",
               "representations[0].max_number_of_units: expected an integer of at least 1");
  expect_error(R"([{"subspace_partition": [[3, 1]]}])",
               "representations[0].subspace_partition[0]: expected a range [begin, end]");
  expect_error(R"([{"subspace_partition": 3}])", "representations[0].subspace_partition: expected a list of parts");
  expect_error(R"([{"source_representation": [[1, 2], [3]]}])",
               "representations[0].source_representation[1]: expected a list of 2");
  expect_error(R"([{"source_representation": ["a"]}])",
               "representations[0].source_representation[0]: expected a number");
  expect_error(R"([{"group_key": 0}, {}])", "either every representation has a group_key or none has");
  expect_error(R"([{"group_key": 1}, {"group_key": 0}])", "representations[1].group_key: group keys must ascend");
  expect_error(R"([{"group_key": "a"}, {"group_key": "b"}, {"group_key": "a"}])",
               "representations of one group must stand together");
  expect_error(R"([{"group_key": 1.5}])", "representations[0].group_key: expected an integer or a name");
  expect_error(R"([{"intervention": {}}])", "a ready instance cannot be given in JSON");
  expect_error(R"([{"hidden_source_representation": 1}])",
               "representations[0].hidden_source_representation: expected true or false");
  expect_error(
      R"([[1, "a", "pos", 1, null, null, null, null, null, null, null, null, null, null, 15]])",
      "representations[0]: a positional representation has 1 to 14 entries, layer and component first, got 15");
  expect_error(R"([[]])", "a positional representation has 1 to 14 entries, layer and component first, got 0");
  expect_error(R"({"representations": [{}], "intervention_types": ["zero", "zero"]})",
               "intervention_types: expected one for all, or one a representation (1), got 2");
  expect_error(R"({"representations": [{}], "intervention_types": "zeroo"})",
               "intervention_types: unknown intervention type 'zeroo'; did you mean 'zero'?");
  expect_error(R"({"representations": [{}], "format_version": 9})", "format_version: this file has version 9");
  expect_error(R"({"representations": [{}], "intervention_dimensions": [0]})",
               "intervention_dimensions[0]: expected a positive integer or null");
  expect_error(R"({"representations": [{}], "intervention_dimensions": [[1, 2]]})",
               "intervention_dimensions[0]: expected a positive integer or null, got [1,2]");
  expect_error(
      R"({"representations": [{"intervention_type": "autoencoder", "latent_dim": 9}], "intervention_dimensions": [[1, 2]]})",
      "intervention_dimensions[0]: expected a positive integer or null (latents are named in the representation's "
      "option 'latents'), got [1,2]");
  expect_error(
      R"({"representations": [{}], "intervenable_representations": [[0, "block_output", "pos", 1, null, null, null, null]]})",
      "intervenable_representations: stands beside 'representations', which is its name in newer files; give one of "
      "them");
  expect_error(R"({"representations": [{}], "sorted_keys": []})",
               "sorted_keys: expected a list with one entry a representation (1)");
  expect_error(std::string(200, '[') + std::string(200, ']'), "nested deeper than 64");
}

TEST(ConfigTest, TheOldestKeysOfPyveneAreReadUnderTheirNewNames) {
  const auto config = IntervenableConfig::parse(
      R"({"intervenable_representations": [[4, "block_output", "pos", 1, 3, null, null, null]],
      "intervenable_interventions_type": ["<class 'pyvene.models.interventions.LowRankRotatedSpaceIntervention'>"], "intervenable_interventions": [null],
      "intervenable_model_type": "gpt2", "mode": "parallel", "intervention_dimensions": [null]})");
  EXPECT_EQ(
      config,
      IntervenableConfig::parse(
          R"({"representations": [{"layer": 4, "low_rank_dimension": 3}], "intervention_types": ["low_rank_rotated_space"],
      "model_type": "gpt2", "intervention_dimensions": [null]})"));
}

TEST(ConfigTest, FilesAreLookedUpFromTheFolderOfTheConfig) {
  const std::string one = R"([{"intervention_type": "jump_relu_autoencoder", "weights": "sae.npz"}])";
  const auto weights = [](const IntervenableConfig& config) {
    return std::get<std::string>(config.representations[0].options.at("weights"));
  };
  EXPECT_EQ(weights(IntervenableConfig::parse(one)), "sae.npz");
  EXPECT_EQ(weights(IntervenableConfig::parse(one, InterventionRegistry::standard(), "folder")), "folder/sae.npz");
  EXPECT_EQ(
      weights(IntervenableConfig::parse(R"([{"intervention_type": "jump_relu_autoencoder", "weights": "/at/sae.npz"}])",
                                        InterventionRegistry::standard(), "folder")),
      "/at/sae.npz");
}

// One list of names (for the registry) and one table (for the parser), which must be of the same fields.
TEST(ConfigTest, NoOptionIsNamedLikeAFieldOfARepresentation) {
  std::vector<std::string> names;
  for (const detail::FieldInfo& field : detail::representation_fields()) names.push_back(field.name);
  EXPECT_THAT(names, testing::ElementsAreArray(detail::kFieldNames));
  for (const std::string& name : names) {
    InterventionRegistry registry;
    EXPECT_THAT(
        [&] {
          registry.add({"mine",
                        "",
                        {{name, OptionType::kString, std::nullopt, ""}},
                        [](const InterventionSettings&) { return nullptr; },
                        {}});
        },
        ThrowsMessage<ConfigError>(HasSubstr("option '" + name + "' is named like a field of RepresentationConfig")));
  }
}

TEST(ConfigTest, LongListsTakeNoTimeThatGrowsWithTheirSquare) {
  std::string steps = "0", groups;
  for (int i = 2; i < 40'000; i += 2) steps += "," + std::to_string(i);
  for (int i = 0; i < 20'000; ++i)
    groups += (i > 0 ? "," : "") + std::string(R"({"group_key": )") + std::to_string(i) + "}";
  const auto start = std::chrono::steady_clock::now();
  const IntervenableConfig config = IntervenableConfig::parse(R"([{"when": {"steps": [)" + steps + "]}}]");
  EXPECT_EQ(config.representations[0].when->ranges().size(), 20'000U);
  EXPECT_EQ(IntervenableConfig::parse("[" + groups + "]").representations.size(), 20'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ConfigTest, PartitionsOfAConfigMayNotNameMoreColumnsThanAModelHas) {
  expect_error(R"([{"subspace_partition": [[0, 16777216], [0, 1]]}])",
               "representations[0].subspace_partition[1]: the parts up to here name more than 16777216 columns");
  expect_error(R"([{"subspace_partition": [[0, 16777216]]}, {"subspace_partition": [[0, 1]]}])",
               "representations[1].subspace_partition: the parts up to here name 16777217 columns, expected at most "
               "16777216 in one config");
}

TEST(ConfigTest, NamesOfAFileAreQuotedShort) {
  const std::string name(30'000, 'x');
  try {
    IntervenableConfig::parse("[{\"" + name + "\": 1, \"component\": 3}, {\"intervention_type\": \"" + name + "\"}]");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_LT(std::string_view(error.what()).size(), 1500U) << error.what();
  }
}

TEST(ConfigTest, LambdasCannotBeWritten) {
  IntervenableConfig config;
  config.add_intervention({.intervention = make_lambda(
                               [](const torch::Tensor& base, const torch::Tensor&, const Subspace&) { return base; })});
  EXPECT_THAT([&] { config.to_json(); },
              ThrowsMessage<ConfigError>(
                  HasSubstr("representations[0]: a ready intervention (a lambda, say) cannot be written")));
}

TEST(SchemaTest, SchemaNamesEveryFieldInterventionAndOption) {
  const OwnRegistry own;
  const auto schema = nlohmann::json::parse(config_schema(own.registry));
  const auto& properties = schema["$defs"]["representation"]["properties"];
  for (const char* field : {"layer", "component", "unit", "subspace_partition", "source_representation", "latent_dim",
                            "factor", "level", "seed"})
    EXPECT_TRUE(properties.contains(field)) << field;
  EXPECT_EQ(properties["unit"]["enum"].size(), 4U);
  EXPECT_FALSE(properties["seed"].contains("default")) << "it differs among the interventions that have one";
  EXPECT_EQ(properties["factor"].contains("default"), false);
  EXPECT_EQ(properties["standardize"]["default"], true);
  EXPECT_EQ(schema["$defs"]["representation"]["allOf"][0]["then"]["required"][0], "factor");
  EXPECT_THAT(config_reference(own.registry),
              AllOf(HasSubstr("| `multiply` | Multiplies by a constant. | `factor` (a number): What to multiply by."),
                    HasSubstr("| `layer` | 0 |")));
}

}  // namespace
}  // namespace vene
