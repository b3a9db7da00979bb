// A file system whose disk hangs, or fails, when the test says so.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "disk/files.hpp"

namespace onced::testing {

// Where every change waits while the gate is shut, or fails while it is broken; reads too if they are gated.
struct FileGate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = true;
  int waiting = 0;
  std::atomic<bool> broken{false};
  std::atomic<bool> gates_reads{false};

  void pass() {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    while (!open) changed.wait_for(lock, std::chrono::milliseconds(50));
    --waiting;
  }
  Result<void> writing() {
    pass();
    if (broken) return Error{ErrorCode::unavailable, "broken"};
    return {};
  }
  Result<void> reading() { return gates_reads ? writing() : Result<void>(); }
  Result<void> syncing() { return {}; }
  void shut() {
    const std::lock_guard lock(mutex);
    open = false;
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex);
    while (waiting == 0) changed.wait_for(lock, std::chrono::milliseconds(50));
  }
};

// `Gate` has reading(), writing() and syncing(): each may wait, and an error is the operation's.
template <typename Gate>
class GatedFile final : public disk::File {
 public:
  GatedFile(std::unique_ptr<disk::File> file, Gate& gate) : file_(std::move(file)), gate_(gate) {}
  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) const override {
    if (auto passed = gate_.reading(); !passed) return passed.error();
    return file_->read(into, offset);
  }
  Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset) override {
    if (auto passed = gate_.writing(); !passed) return passed;
    return file_->write(bytes, offset);
  }
  Result<void> sync() override {
    if (auto passed = gate_.syncing(); !passed) return passed;
    return file_->sync();
  }
  Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }
  Result<std::uint64_t> size() const override { return file_->size(); }
  int release_descriptor() override { return file_->release_descriptor(); }

 private:
  std::unique_ptr<disk::File> file_;
  Gate& gate_;
};

template <typename Gate>
class GatedFiles final : public disk::FileSystem {
 public:
  GatedFiles(std::unique_ptr<disk::FileSystem> files, Gate& gate) : files_(std::move(files)), gate_(gate) {}
  Result<Status> status(const std::string& path) const override { return files_->status(path); }
  Result<std::vector<std::string>> list(const std::string& path) const override { return files_->list(path); }
  Result<std::unique_ptr<disk::File>> open(const std::string& path, bool writable) override { return gated(files_->open(path, writable)); }
  Result<std::unique_ptr<disk::File>> create(const std::string& path) override { return gated(files_->create(path)); }
  Result<void> make_directory(const std::string& path) override { return files_->make_directory(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return files_->rename(from, to); }
  Result<void> remove(const std::string& path) override { return files_->remove(path); }
  Result<void> sync_directory(const std::string& path) override { return files_->sync_directory(path); }
  Result<std::unique_ptr<disk::Lock>> lock(const std::string& path) override { return files_->lock(path); }

 private:
  Result<std::unique_ptr<disk::File>> gated(Result<std::unique_ptr<disk::File>> file) {
    if (!file) return file;
    return std::unique_ptr<disk::File>(std::make_unique<GatedFile<Gate>>(std::move(*file), gate_));
  }
  std::unique_ptr<disk::FileSystem> files_;
  Gate& gate_;
};

// For DiskOptions::files: the real ones behind a gate, which outlives them.
template <typename Gate>
Result<std::unique_ptr<disk::FileSystem>> open_gated_files(const std::string& path, Gate& gate) {
  auto files = disk::open_posix_files(path);
  if (!files) return files.error();
  return std::unique_ptr<disk::FileSystem>(std::make_unique<GatedFiles<Gate>>(std::move(*files), gate));
}

}  // namespace onced::testing
