// Names for clang's thread-safety attributes
// (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html). They are empty for other compilers.
#pragma once

#if defined(__clang__)
#define TIERFS_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define TIERFS_THREAD_ATTRIBUTE(x)
#endif

#define CAPABILITY(name) TIERFS_THREAD_ATTRIBUTE(capability(name))
#define SCOPED_CAPABILITY TIERFS_THREAD_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(mutex) TIERFS_THREAD_ATTRIBUTE(guarded_by(mutex))
#define ACQUIRED_BEFORE(...) TIERFS_THREAD_ATTRIBUTE(acquired_before(__VA_ARGS__))
#define REQUIRES(...) TIERFS_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) TIERFS_THREAD_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) TIERFS_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) TIERFS_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) TIERFS_THREAD_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) TIERFS_THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) TIERFS_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) TIERFS_THREAD_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define RELEASE_ANY(...) TIERFS_THREAD_ATTRIBUTE(release_generic_capability(__VA_ARGS__))
#define ASSERT_HELD(...) TIERFS_THREAD_ATTRIBUTE(assert_capability(__VA_ARGS__))
#define RETURN_CAPABILITY(mutex) TIERFS_THREAD_ATTRIBUTE(lock_returned(mutex))
// Each use states its reason.
#define NO_THREAD_SAFETY_ANALYSIS TIERFS_THREAD_ATTRIBUTE(no_thread_safety_analysis)
