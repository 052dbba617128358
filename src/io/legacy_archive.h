// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

namespace vene::io {

/// Whether a file begins as torch.save's did before PyTorch 1.6, and does with _use_new_zipfile_serialization=False.
bool is_legacy_archive(std::string_view bytes);

}  // namespace vene::io
