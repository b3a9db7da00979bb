// Who refreshes a value ahead of time: XFetch (Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede
// prevention", VLDB 2015). Every reader in a value's early stretch draws; the later it is, and the dearer the value, the
// likelier one wins. No reader needs to know of another.
//
// Threads: one at a time. A draw makes no system call; the generator is seeded when it is made.
#pragma once

#include <cstdint>

namespace onced::client_detail {

class RefreshLottery {
 public:
  RefreshLottery();  // seeded by the kernel
  explicit RefreshLottery(std::uint64_t seed) : state_(seed) {}

  // `left_ms`: until the value is stale; `early_ms`: of its record, 14 times beta times cost (less when that is more than the
  // time-to-live). True with the probability exp(-left / (early / 14)).
  bool wins(std::uint32_t left_ms, std::uint32_t early_ms);

 private:
  std::uint64_t state_;
};

}  // namespace onced::client_detail
