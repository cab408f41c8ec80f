package bench;

/** A table of a department, as the catalogue names it. */
final class Source {
    final Text id;
    final int departmentClass;

    Source(String id, int departmentClass) {
        this.id = Text.of(id);
        this.departmentClass = departmentClass;
    }
}
