// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "tests/gradcheck.h"
#include "tests/places.h"
#include "tests/test_folder.h"
#include "tests/unit/interventions/build.h"
#include "vene/base/error.h"
#include "vene/interventions/autoencoder.h"
#include "vene/interventions/pca.h"
#include "vene/interventions/rotated.h"
#include "vene/io/npz.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using torch::Tensor;
using namespace vene_test;

const std::string kGolden = std::string(vene_test::kSourceFolder) + "/tests/golden/train/";

std::map<std::string, Tensor> tensors(const std::string& file) {
  const io::NamedTensors all = io::read_tensors(kGolden + file);
  return {all.begin(), all.end()};
}

InterventionSettings sized(std::int64_t width, std::optional<std::int64_t> rank = {},
                           std::optional<std::int64_t> latents = {}) {
  InterventionSettings settings;
  settings.width = width;
  settings.low_rank_dimension = rank;
  settings.latent_dim = latents;
  return settings;
}

Subspace columns(const SubspaceIds& ids, const Intervention& intervention, std::int64_t batch) {
  return compile_subspace(ids, intervention.subspace_partition(), intervention.subspace_width(0), batch, torch::kCPU,
                          "here");
}

// Every learned class, small, with parameters away from their start.
std::vector<std::shared_ptr<Intervention>> learned(torch::ScalarType dtype = torch::kFloat32) {
  torch::manual_seed(9);
  std::vector<std::shared_ptr<Intervention>> all;
  for (const char* map : {"householder", "matrix_exponential", "cayley"}) {
    for (const char* name :
         {"rotated_space", "low_rank_rotated_space", "boundless_rotated_space", "sigmoid_mask_rotated_space"}) {
      InterventionSettings settings = sized(6, 3);
      settings.options["map"] = std::string(map);
      all.push_back(build(name, settings));
    }
  }
  all.push_back(build("sigmoid_mask", sized(6)));
  InterventionSettings bank = sized(6);
  bank.options["count"] = std::int64_t{4};
  all.push_back(build("directions", bank));
  all.push_back(build("autoencoder", sized(6, {}, 9)));
  all.push_back(build("jump_relu_autoencoder", sized(6, 9)));
  const torch::NoGradGuard no_grad;
  for (auto& intervention : all) {
    intervention->to(dtype);
    for (auto& parameter : intervention->named_parameters()) {
      if (parameter.key() == "masks") {
        parameter.value().normal_(0, 60);
      } else if (parameter.key() != "intervention_boundaries") {
        parameter.value().add_(torch::randn_like(parameter.value()) * 0.4);
      }
    }
    for (auto& buffer : intervention->named_buffers()) {
      if (buffer.key() == "temperature") buffer.value().fill_(2.5);
    }
  }
  all.push_back(build("pca_rotated_space", sized(6, 4)));
  dynamic_cast<PCARotatedSpace&>(*all.back()).fit(torch::randn({30, 6}) * torch::arange(1, 7));
  all.back()->to(dtype);
  return all;
}

TEST(LearnedTest, GradientsInParametersBaseAndSourcePassGradcheck) {
  for (const auto& intervention : learned(torch::kFloat64)) {
    for (const SubspaceIds& ids : {SubspaceIds{}, SubspaceIds{{{0, 2}}}, SubspaceIds{{{0}, {1, 2}}}}) {
      const Subspace subspace = ids.rows.empty() ? Subspace{} : columns(ids, *intervention, 2);
      const Tensor base = torch::randn({2, 6}, torch::kFloat64).set_requires_grad(true);
      const Tensor source = torch::randn({2, 6}, torch::kFloat64).set_requires_grad(true);
      std::vector<Tensor> leaves = intervention->parameters();
      leaves.push_back(base);
      leaves.push_back(source);
      gradcheck(
          leaves, [&] { return intervention->forward(base, source, subspace).pow(3).sum(); }, 1e-5, 12);
    }
  }
}

TEST(LearnedTest, ABatchEqualsItsRowsAndUnitsOneByOne) {
  for (const auto& intervention : learned()) {
    const SubspaceIds ids{{{0, 2}, {}, {1}}};
    const Tensor base = torch::randn({3, 2, 6}), source = torch::randn({3, 2, 6});
    const Tensor all = intervention->forward(base, source, columns(ids, *intervention, 3));
    EXPECT_EQ(all.sizes(), base.sizes());
    for (std::int64_t row = 0; row < 3; ++row) {
      for (std::int64_t unit = 0; unit < 2; ++unit) {
        const Tensor one = intervention->forward(base[row][unit].unsqueeze(0), source[row][unit].unsqueeze(0),
                                                 columns({{ids.rows[row]}}, *intervention, 1));
        EXPECT_LT((one[0] - all[row][unit]).abs().max().item<double>(), 1e-5);
      }
    }
  }
}

TEST(LearnedTest, ASourceEqualToTheBaseChangesNothingAndTheWholeSpaceIsASwap) {
  for (const char* name : {"rotated_space", "low_rank_rotated_space", "directions", "boundless_rotated_space",
                           "sigmoid_mask_rotated_space", "sigmoid_mask"}) {
    const auto intervention = build(name, sized(6, 3));
    const Tensor base = torch::randn({2, 6});
    EXPECT_TRUE(torch::equal(intervention->forward(base, base, {}), base)) << name;
  }
  const Tensor base = torch::randn({2, 6}), source = torch::randn({2, 6});
  EXPECT_TRUE(torch::allclose(build("rotated_space", sized(6))->forward(base, source, {}), source, 1e-5, 1e-5));
  EXPECT_TRUE(
      torch::allclose(build("low_rank_rotated_space", sized(6, 6))->forward(base, source, {}), source, 1e-5, 1e-5));
}

TEST(LearnedTest, ASubspaceMovesTheValueWithinItsColumnsOnly) {
  const auto intervention = build_as<RotatedSpace>("rotated_space", sized(6));
  const Tensor base = torch::randn({2, 6}), source = torch::randn({2, 6});
  const Tensor w = intervention->rotation->weight();
  const Tensor moved = intervention->forward(base, source, columns({{{1, 4}}}, *intervention, 2)).matmul(w);
  for (std::int64_t column = 0; column < 6; ++column) {
    const Tensor expected = (column == 1 || column == 4 ? source : base).matmul(w).select(1, column);
    EXPECT_TRUE(torch::allclose(moved.select(1, column), expected, 1e-4, 1e-5)) << column;
  }
  intervention->interchange_dim = 2;
  EXPECT_TRUE(torch::allclose(intervention->forward(base, source, {}),
                              intervention->forward(base, source, columns({{{0, 1}}}, *intervention, 2)), 1e-5, 1e-6));
}

TEST(LearnedTest, EachRowIsExchangedAlongItsOwnDirection) {
  InterventionSettings settings = sized(6);
  settings.options["count"] = std::int64_t{3};
  settings.options["seed"] = std::int64_t{5};
  const auto intervention = build_as<Directions>("directions", settings);
  EXPECT_TRUE(torch::equal(intervention->directions, build_as<Directions>("directions", settings)->directions));
  const torch::NoGradGuard no_grad;
  intervention->directions.mul_(torch::tensor({{0.5F}, {1.0F}, {7.0F}}));  // their lengths have no say
  const Tensor base = torch::randn({2, 6}), source = torch::randn({2, 6});
  const Tensor moved = intervention->forward(base, source, columns({{{2}, {0}}}, *intervention, 2));
  for (std::int64_t row = 0; row < 2; ++row) {
    const Tensor w = intervention->directions[row == 0 ? 2 : 0] / intervention->directions[row == 0 ? 2 : 0].norm();
    EXPECT_NEAR(moved[row].dot(w).item<double>(), source[row].dot(w).item<double>(), 1e-5);
    const Tensor change = moved[row] - base[row];
    EXPECT_LT((change - change.dot(w) * w).abs().max().item<double>(), 1e-5);
  }
}

TEST(LearnedTest, HalfPrecisionValuesMeetWeightsInFullPrecision) {
  for (const auto& intervention : learned()) {
    const Tensor base = torch::randn({2, 6}).to(torch::kBFloat16), source = torch::randn({2, 6}).to(torch::kBFloat16);
    const Tensor result = intervention->forward(base, source, {});
    EXPECT_EQ(result.scalar_type(), torch::kBFloat16);
    const Tensor exact = intervention->forward(base.to(torch::kFloat32), source.to(torch::kFloat32), {});
    EXPECT_TRUE(torch::equal(result, exact.to(torch::kBFloat16)));
  }
}

TEST(LearnedTest, TheBoundaryMaskIsPyvenes) {
  const auto intervention = build_as<BoundlessRotatedSpace>("boundless_rotated_space", sized(4));
  EXPECT_EQ(intervention->temperature.item<float>(), 50);
  intervention->temperature.fill_(1);
  EXPECT_TRUE(torch::allclose(intervention->mask(), torch::tensor({0.4404F, 0.5344F, 0.4404F, 0.2562F}), 0, 5e-5));
}

TEST(LearnedTest, PcaIsPyvenesForTheSameTensors) {
  const auto golden = tensors("pca.safetensors");
  const auto intervention = build("pca_rotated_space", sized(16, 5));
  intervention->restore({{"pca_components", golden.at("pca_components")},
                         {"pca_mean", golden.at("pca_mean")},
                         {"pca_std", golden.at("pca_std")}},
                        "here");
  const Tensor base = golden.at("base"), source = golden.at("source");
  EXPECT_TRUE(torch::allclose(intervention->forward(base, source, {}), golden.at("whole"), 1e-5, 1e-5));
  EXPECT_TRUE(torch::allclose(intervention->forward(base, source, columns({{{0, 3}}}, *intervention, 4)),
                              golden.at("some"), 1e-5, 1e-5));
}

TEST(LearnedTest, PcaFindsTheDirectionsOfItsActivations) {
  torch::manual_seed(1);
  const Tensor axes = std::get<0>(torch::linalg_qr(torch::randn({6, 6})));
  const Tensor spread = torch::tensor({5.F, 3.F, 1.F, .1F, .1F, .1F});
  const Tensor rows = (torch::randn({4000, 6}) * spread).matmul(axes.t()) + 2;
  InterventionSettings settings = sized(6, 3);
  settings.options["standardize"] = false;
  const auto pca = build_as<PCARotatedSpace>("pca_rotated_space", settings);
  EXPECT_THAT([&] { pca->forward(rows, rows, {}); }, ThrowsMessage<PlanError>(HasSubstr("ran before it was fitted")));
  EXPECT_THAT(
      [&] {
        pca->fit(torch::full({400, 6}, std::nan("")));
      },
      ThrowsMessage<PlanError>(HasSubstr("the activations hold values that are not finite numbers")));
  pca->fit(rows.view({400, 10, 6}));
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_GT(pca->pca_components[i].dot(axes.select(1, i)).abs().item<double>(), 0.99) << i;
  EXPECT_NEAR(pca->explained_variance_ratio.sum().item<double>(), 35.0 / 35.03, 1e-3);
  EXPECT_TRUE(torch::allclose(pca->pca_mean, rows.mean(0), 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(pca->pca_components.matmul(pca->pca_components.t()), torch::eye(3), 0, 1e-5));
  EXPECT_THAT([&] { pca->fit(rows.slice(0, 0, 2)); },
              ThrowsMessage<PlanError>(HasSubstr("2 rows of activations for 3 components; expected at least 3")));
  EXPECT_THAT(
      [&] {
        pca->fit(torch::zeros({9, 5}));
      },
      ThrowsMessage<PlanError>(HasSubstr("activations of shape [9, 5], expected [rows, 6]")));
}

TEST(LearnedTest, JumpReluIsPyvenesWorkedExample) {
  const auto sae = build_as<JumpReLUAutoencoder>("jump_relu_autoencoder", sized(2, 3));
  sae->set_weights({torch::tensor({{1.F, 0.F, 1.F}, {0.F, 1.F, 1.F}}),
                    torch::tensor({{1.F, 0.F}, {0.F, 1.F}, {.5F, .5F}}), torch::zeros({3}), torch::tensor({.1F, .2F}),
                    torch::full({3}, 1.5F)});
  const Tensor base = torch::tensor({{1.F, 2.F}}), source = torch::tensor({{3.F, .5F}});
  EXPECT_TRUE(torch::allclose(sae->encode(base), torch::tensor({{0.F, 2.F, 3.F}})));
  EXPECT_TRUE(torch::allclose(sae->encode(source), torch::tensor({{3.F, 0.F, 3.5F}})));
  sae->interchange_dim = 2;  // pyvene's default: as many latents as the value is wide
  EXPECT_TRUE(torch::allclose(sae->forward(base, source, {}), torch::tensor({{4.6F, 1.7F}})));
  sae->interchange_dim.reset();
  EXPECT_TRUE(torch::allclose(sae->forward(base, source, {}), sae->decode(sae->encode(source))))
      << "without a number, all";
}

TEST(LearnedTest, TheAutoencoderStartsAsPyvenesAndExchangesTheLatentsAsked) {
  const auto golden = tensors("starts.safetensors");
  torch::manual_seed(11);
  InterventionSettings settings = sized(8, {}, 5);
  settings.options["latents"] = torch::tensor({1.0, 4.0});
  const auto coder = build_as<Autoencoder>("autoencoder", settings);
  for (const auto& item : coder->named_parameters())
    EXPECT_TRUE(torch::equal(item.value(), golden.at(item.key()))) << item.key();
  const Tensor base = torch::randn({2, 8}), source = torch::randn({2, 8});
  Tensor latent = coder->encode(base).clone();
  for (std::int64_t i : {1, 4}) latent.select(1, i).copy_(coder->encode(source).select(1, i));
  EXPECT_TRUE(torch::allclose(coder->forward(base, source, {}), coder->decode(latent)));
  EXPECT_TRUE(torch::allclose(coder->forward(base, source, columns({{{1, 4}}}, *coder, 2)), coder->decode(latent)));
}

TEST(LearnedTest, PublishedAutoencodersAreReadFromNpzAndSafetensors) {
  const SaeWeights safetensors = read_sae(kGolden + "sae/sae.safetensors");
  for (const char* file : {"sae/sae.npz", "sae/sae_compressed.npz"}) {
    const SaeWeights npz = read_sae(kGolden + file);
    EXPECT_TRUE(torch::equal(npz.encoder, safetensors.encoder) && torch::equal(npz.decoder, safetensors.decoder))
        << file;
    EXPECT_TRUE(torch::equal(npz.threshold, safetensors.threshold) &&
                torch::equal(npz.encoder_bias, safetensors.encoder_bias) &&
                torch::equal(npz.decoder_bias, safetensors.decoder_bias));
  }
  InterventionSettings settings = sized(4);
  settings.options["weights"] = kGolden + "sae/sae.npz";
  const auto sae = build_as<JumpReLUAutoencoder>("jump_relu_autoencoder", settings);
  EXPECT_EQ(sae->subspace_width(0), 7);
  EXPECT_TRUE(torch::equal(sae->w_dec, safetensors.decoder));
  settings.width = 5;
  EXPECT_THAT([&] { build("jump_relu_autoencoder", settings); },
              ThrowsMessage<PlanError>(HasSubstr("W_enc has shape [4, 7], this site and config make it [5, 7]")));
  EXPECT_THAT([&] { read_sae(kGolden + "pca.safetensors"); },
              ThrowsMessage<IoError>(HasSubstr("'W_enc' is missing; the file has")));
}

// SAELens' formulas, written out: what cfg.json says of biases and scales is worked into the tensors.
class SaeLens : public testing::Test {
 protected:
  std::string write(const nlohmann::json& config, const std::map<std::string, Tensor>& more = {}) {
    std::map<std::string, Tensor> all{{"W_enc", encoder}, {"W_dec", decoder}, {"b_enc", b_enc}, {"b_dec", b_dec}};
    for (const auto& [name, tensor] : more) all[name] = tensor;
    io::write_safetensors(folder / "sae_weights.safetensors", {all.begin(), all.end()});
    folder.write("cfg.json", config.dump());
    return folder.path();
  }
  // What a folder makes of `value`, and what it is to make: relu or JumpReLU of (value - bias) W_enc + b_enc.
  Tensor made(const std::string& path) const {
    InterventionSettings settings = sized(4);
    settings.options["weights"] = path;
    const auto sae = build_as<JumpReLUAutoencoder>("jump_relu_autoencoder", settings);
    return sae->decode(sae->encode(value));
  }
  Tensor right(const Tensor& bias, const Tensor& threshold, const Tensor& scale) const {
    const Tensor before = (value - bias).matmul(encoder) + b_enc;
    return (torch::relu(before) * before.gt(threshold) * scale).matmul(decoder) + b_dec;
  }
  std::string refused(const nlohmann::json& config, const std::map<std::string, Tensor>& more = {}) {
    const std::string path = write(config, more);
    try {
      read_sae(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  const vene_test::TestFolder folder;
  const Tensor value = (torch::manual_seed(3), torch::randn({5, 4})), encoder = torch::randn({4, 7}),
               decoder = torch::randn({7, 4}), b_enc = torch::randn({7}), b_dec = torch::randn({4}),
               threshold = torch::rand({7}) * 2, scale = torch::rand({7}) + 0.5F, none = torch::zeros({4}),
               zero = torch::zeros({7}), one = torch::ones({7});
};

TEST_F(SaeLens, FoldersAreReadWithWhatTheirConfigSays) {
  const auto same = [](const Tensor& a, const Tensor& b) { return torch::allclose(a, b, 1e-5, 1e-5); };
  EXPECT_TRUE(
      same(made(write({{"architecture", "standard"}, {"apply_b_dec_to_input", true}})), right(b_dec, zero, one)));
  EXPECT_TRUE(
      same(made(write({{"architecture", "standard"}, {"apply_b_dec_to_input", false}})), right(none, zero, one)));
  EXPECT_TRUE(same(made(write({{"d_in", 4}, {"d_sae", 7}, {"activation_fn_str", "relu"}})), right(b_dec, zero, one)));
  for (const char* architecture : {"jumprelu", "batchtopk"}) {
    EXPECT_TRUE(
        same(made(write({{"architecture", architecture}, {"apply_b_dec_to_input", true}}, {{"threshold", threshold}})),
             right(b_dec, threshold, one)));
  }
  EXPECT_TRUE(
      same(made(write({{"finetuning_scaling_factor", true}}, {{"scaling_factor", scale}})), right(b_dec, zero, scale)));
  EXPECT_TRUE(
      same(made(write({{"finetuning_scaling_factor", false}}, {{"scaling_factor", one}})), right(b_dec, zero, one)));
  EXPECT_FALSE(same(right(b_dec, zero, one), right(none, zero, one)));
  // The file itself is read with the config beside it; under another name it is on its own.
  EXPECT_TRUE(
      same(made(write({{"apply_b_dec_to_input", true}}) + "/sae_weights.safetensors"), right(b_dec, zero, one)));
  std::filesystem::rename(folder / "sae_weights.safetensors", folder / "other.safetensors");
  EXPECT_TRUE(same(made(folder / "other.safetensors"), right(none, zero, one)));
}

TEST_F(SaeLens, WhatIsNoJumpReluAutoencoderIsRefusedByName) {
  EXPECT_THAT(refused({{"architecture", "gated"}}),
              HasSubstr("cfg.json: architecture 'gated' is not what jump_relu_autoencoder computes; expected standard, "
                        "jumprelu, or batchtopk with a threshold"));
  EXPECT_THAT(refused({{"architecture", "topk"}, {"k", 3}}), HasSubstr("architecture 'topk' is not what"));
  EXPECT_THAT(refused({{"architecture", "batchtopk"}}), HasSubstr("architecture 'batchtopk' is not what"));
  EXPECT_THAT(refused({{"architecture", "jumprelu"}}), HasSubstr("'threshold' is missing"));
  EXPECT_THAT(refused({{"architecture", "standard"}}, {{"threshold", threshold}}),
              HasSubstr("architecture 'standard' has no threshold, and the weights beside it have one"));
  EXPECT_THAT(
      refused({{"normalize_activations", "layer_norm"}}),
      HasSubstr("normalize_activations 'layer_norm' is not what jump_relu_autoencoder computes; expected none"));
  EXPECT_THAT(refused({{"activation_fn_str", "topk"}}), HasSubstr("activation_fn_str 'topk' is not what"));
  EXPECT_THAT(refused({{"rescale_acts_by_decoder_norm", true}}),
              HasSubstr("rescale_acts_by_decoder_norm 'true' is not what"));
  EXPECT_THAT(
      refused({{"finetuning_scaling_factor", false}}, {{"scaling_factor", scale}}),
      HasSubstr("finetuning_scaling_factor is false, and the weights beside it have a scaling_factor that is not 1"));
  EXPECT_THAT(refused({{"d_in", 16}}), HasSubstr("cfg.json: d_in is 16, and the weights beside it have 4"));
  EXPECT_THAT(refused({{"apply_b_dec_to_input", "yes"}}),
              HasSubstr("cfg.json.apply_b_dec_to_input: expected true or false"));
  EXPECT_THAT(refused({}, {{"b_gate", zero}}),
              HasSubstr("the tensor 'b_gate' is not one of those of a JumpReLU autoencoder"));
}

TEST(LearnedTest, NpzFilesHoldEveryPlainDtypeInEitherOrderOfMemory) {
  const io::NamedTensors read = io::read_npz(kGolden + "sae/dtypes.npz");
  ASSERT_EQ(read.size(), 10U);
  const std::map<std::string, Tensor> arrays(read.begin(), read.end());
  const Tensor plain = torch::arange(6).view({2, 3});
  for (auto [name, dtype] : {std::pair{"f2", torch::kFloat16},
                             {"f4", torch::kFloat32},
                             {"f8", torch::kFloat64},
                             {"i1", torch::kInt8},
                             {"i8", torch::kInt64},
                             {"b1", torch::kBool}}) {
    ASSERT_EQ(arrays.at(name).scalar_type(), dtype) << name;
    EXPECT_TRUE(torch::equal(arrays.at(name), plain.to(dtype))) << name;
  }
  EXPECT_TRUE(torch::equal(arrays.at("fortran"), plain.to(torch::kFloat32)));
  EXPECT_EQ(arrays.at("scalar").dim(), 0);
  EXPECT_EQ(arrays.at("scalar").item<float>(), 2.5F);
  EXPECT_EQ(arrays.at("empty").sizes(), (std::vector<std::int64_t>{0, 3}));
  EXPECT_TRUE(torch::equal(arrays.at("long"), torch::arange(5000) % 7)) << "packed with long matches";
}

TEST(LearnedTest, MissingSizesAreNamed) {
  auto message = [](const std::string& name, const InterventionSettings& settings, const char* text) {
    EXPECT_THAT([&] { build(name, settings); }, ThrowsMessage<Error>(HasSubstr(text))) << name;
  };
  message("rotated_space", {},
          "is made for the width of its site, which is not known at a bare path; name the component");
  message("low_rank_rotated_space", sized(6), "low_rank_rotated_space needs low_rank_dimension");
  message("low_rank_rotated_space", sized(6, 7), "low_rank_dimension 7 does not fit a width of 6");
  message("pca_rotated_space", sized(6, 7), "low_rank_dimension 7 does not fit a width of 6");
  message("autoencoder", sized(6), "autoencoder needs latent_dim");
  message("jump_relu_autoencoder", sized(6), "needs low_rank_dimension, its number of latents, or a file in weights");
  InterventionSettings none = sized(6);
  none.options["count"] = std::int64_t{0};
  message("directions", none, "directions: count is 0, expected at least 1");
  InterventionSettings cold = sized(6);
  cold.options["temperature"] = 0.0;
  message("boundless_rotated_space", cold, "temperature is 0.000000, expected more than 0");
}

TEST(LearnedTest, WhatIsAskedForIsCountedBeforeItIsMade) {
  InterventionSettings directions = sized(2);
  directions.options["count"] = (std::int64_t{1} << 22) + 1;
  EXPECT_THAT([&] { build("directions", directions); },
              ThrowsMessage<ConfigError>(HasSubstr("count is 4194305, expected at most 4194304")));
  directions.options["count"] = std::int64_t{1} << 50;
  EXPECT_THROW(build("directions", directions), std::bad_alloc);
  InterventionSettings latents = sized(2);
  latents.latent_dim = std::int64_t{1} << 50;
  EXPECT_THROW(build("autoencoder", latents), std::bad_alloc);
  EXPECT_THROW(build("jump_relu_autoencoder", latents), std::bad_alloc);
  EXPECT_THROW(build("rotated_space", sized(std::int64_t{1} << 30)), std::bad_alloc);
}

TEST(LearnedTest, RestoringNamesWhatIsMissingExtraOrOfAnotherShape) {
  const auto mask = build("sigmoid_mask", sized(6));
  auto message = [&](const NamedTensors& state, const char* text) {
    EXPECT_THAT([&] { mask->restore(state, "file"); }, ThrowsMessage<IoError>(HasSubstr(text)));
  };
  message({{"temperature", torch::tensor(1.F)}}, "file: the tensor 'mask' is missing");
  message({{"mask", torch::zeros({5})}, {"temperature", torch::tensor(1.F)}},
          "file: the tensor 'mask' has shape [5], expected [6]");
  message({{"mask", torch::zeros({6})}, {"temperature", torch::tensor(1.F)}, {"maks", torch::zeros({1})}},
          "file: the intervention has no tensor 'maks'; did you mean 'mask'");
}

}  // namespace
}  // namespace vene
