// SPDX-License-Identifier: Apache-2.0
// Does not compile: modules whose forward is not one plain function. The test reads what the compiler says.
#include "vene/hooks/hooked.h"

struct Overloaded : torch::nn::Module {
  int forward(int value) { return value; }
  float forward(float value) { return value; }
};
struct Templated : torch::nn::Module {
  template <class T>
  T forward(T value) {
    return value;
  }
};
struct Plain : torch::nn::Module {
  int forward(int value) { return value; }
};
template class vene::Hooked<Plain>;
template class vene::Hooked<Overloaded>;
template class vene::Hooked<Templated>;
