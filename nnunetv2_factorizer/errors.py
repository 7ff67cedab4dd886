"""The one kind of error that is told to a user without a traceback."""


class UserError(Exception):
    """Something that the user can mend: what is wrong, with the value seen, and what to do about it.

    Its text is `cause`, a line break, `remedy`. Commands print it and end with status 1; every other exception keeps
    its traceback, since it is a defect of the program.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}\n{self.remedy}"
