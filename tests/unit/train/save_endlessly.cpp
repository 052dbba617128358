// SPDX-License-Identifier: Apache-2.0
// save_endlessly FOLDER FIRST COUNT: trains with a checkpoint at each step, FOLDER/training, and saves interventions
// after each step, FOLDER/saved, numbered from FIRST; ends after COUNT steps, if nobody kills it before.
#include <cstdio>
#include <cstdlib>

#include "tests/unit/train/kept.h"

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const std::string folder = arguments[1];
  std::int64_t next = std::atoll(arguments[2]);
  const std::int64_t end = next + std::atoll(arguments[3]);
  torch::set_num_threads(1);
  vene::train::TrainOptions options = vene_test::long_training(folder + "/training");
  options.progress = [&](const vene::train::Progress&) {
    vene_test::numbered_interventions(next++)->save(folder + "/saved");
    return next < end;
  };
  std::puts("ready");
  std::fflush(stdout);
  vene::train::Trainer(vene_test::untrained(), options).fit(vene_test::some_examples());
  return 0;
}
